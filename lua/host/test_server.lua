--- A scripted HTTP server for host.test: what a handler's requests meet that do not go to Keycloak.

local json = require "host.json"

local M = {}

local routes, seen = {}, {}

--- The public part: t.http.
M.api = {}

-- Of one answer; a list of them has none of its own.
local function check_status(answer)
    local status = type(answer) == "table" and answer.status
    if status and (math.type(status) ~= "integer" or status < 100 or status > 599) then
        error(("t.http.on: status %s: it is a whole number from 100 to 599"):format(status), 0)
    end
end

local function check_answer(answer)
    local kind = type(answer)
    if kind ~= "table" and kind ~= "function" then
        error("t.http.on takes an answer: a table {status, json, body, headers}, a list of them "
            .. "for one request each, or a function", 0)
    end
    if kind == "function" then return end
    check_status(answer)
    for _, one in ipairs(answer) do check_status(one) end
end

--- Answers requests.
-- @param method "GET", or "*" for any
-- @param url the whole URL without its query; * stands for any characters
-- @param answer { status = 200, json =, body =, headers = }, or { fails = "connect" | "timeout" |
--   "cut" }; a list of such: one for each request, the last one for all further ones; or a function
--   that gets the request (method, url, query, headers, body) and returns one. Later calls of `on`
--   go first.
function M.api.on(method, url, answer)
    if type(method) ~= "string" or type(url) ~= "string" then
        error("t.http.on takes a method, a URL and an answer", 0)
    end
    check_answer(answer)
    local pattern = url:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*")
    table.insert(routes, 1, { method = method:upper(), pattern = "^" .. pattern .. "$",
        answer = answer, used = 0 })
end

--- The requests that came, in order: { method, url, query, headers, body, json }.
-- @param pattern only those whose "METHOD url" matches it (optional)
-- @return a list
function M.api.requests(pattern)
    local list = {}
    for _, request in ipairs(seen) do
        local name = request.method .. " " .. request.url
        if not pattern or name:find(pattern) then list[#list + 1] = request end
    end
    return list
end

--- Forgets routes and requests: each case starts without.
function M.reset()
    routes, seen = {}, {}
end

--- Splits a request's URL and decodes its body; kept in the list of requests.
-- @param request { method, url, headers, body }
-- @return the request as tests see it
function M.note(request)
    local url, query = request.url:match("^([^?]*)%??(.*)$")
    local noted = { method = request.method, url = url, query = query, headers = request.headers,
        body = request.body }
    if request.body and (request.headers["content-type"] or ""):find("json") then
        local ok, value = pcall(json.decode, request.body)
        noted.json = ok and value or nil
    end
    seen[#seen + 1] = noted
    return noted
end

local function pick(route, request)
    local answer = route.answer
    route.used = route.used + 1
    if type(answer) == "function" then answer = answer(request) end
    if type(answer) == "table" and answer[1] then
        answer = answer[math.min(route.used, #answer)]
    end
    if type(answer) ~= "table" then
        error(("the answer to %s %s is a %s, not a table"):format(request.method, request.url,
            type(answer)), 0)
    end
    check_status(answer)
    return answer
end

--- Makes of an answer what goes over the wire.
-- @param answer { status, json, body, headers } or { fails }
-- @return { status, head, body } or { fails }
function M.raw(answer)
    if answer.fails then return answer end
    local head, body = {}, answer.body
    if answer.json ~= nil then
        body = json.encode(answer.json)
        head[1] = "Content-Type: application/json\r\n"
    end
    for name, value in pairs(answer.headers or {}) do
        head[#head + 1] = ("%s: %s\r\n"):format(name, value)
    end
    return { status = answer.status or 200, head = table.concat(head), body = body }
end

--- Answers a request if a route does.
-- @param request as the handler sent it
-- @return { status, head, body } or { fails }; nil: no route
function M.answer(request)
    local noted = M.note(request)
    for _, route in ipairs(routes) do
        if (route.method == "*" or route.method == noted.method) and noted.url:find(route.pattern)
        then
            return M.raw(pick(route, noted))
        end
    end
    return nil
end

return M
