--- What steers the stand-ins: /_sandbox/faults and /_sandbox/log. README.md has the words.

local json = require "host.json"

local M = {}

local function text(req, status, words)
    req:reply(status, { ["Content-Type"] = "text/plain; charset=utf-8" }, words .. "\n")
end

local function send(req, status, value)
    req:reply(status, { ["Content-Type"] = "application/json" }, json.encode(value) .. "\n")
end

local function switch_on(req, faults)
    local ok, given = pcall(json.decode, req.body)
    if not ok then return text(req, 400, "the body is no JSON: " .. tostring(given)) end
    local made, wrong = faults:add(given)
    if not made then return text(req, 400, wrong) end
    send(req, 201, { faults = json.array(made) })
end

local function switch_off(req, faults, id)
    if not faults:remove(id) then return text(req, 404, ("no fault %d is on"):format(id)) end
    req:reply(204)
end

local function show_log(req, log)
    local after = math.tointeger(tonumber(req.query.after or 0))
    if not after or after < 0 then
        return text(req, 400, "after: it is the number of a log entry")
    end
    send(req, 200, { entries = json.array(log:after(after)) })
end

--- Answers one request.
-- @param rest its path after /_sandbox
function M.handle(req, rest, faults, log)
    local id = math.tointeger(tonumber(rest:match("^/faults/(%d+)$")))
    if rest == "/faults" and req.method == "POST" then
        switch_on(req, faults)
    elseif rest == "/faults" and req.method == "GET" then
        send(req, 200, { faults = json.array(faults:list()) })
    elseif (rest == "/faults" or id) and req.method == "DELETE" then
        switch_off(req, faults, id)
    elseif rest == "/log" and req.method == "GET" then
        show_log(req, log)
    else
        text(req, 404, "here are: GET, POST and DELETE /_sandbox/faults, DELETE "
            .. "/_sandbox/faults/{id}, GET /_sandbox/log?after={n}")
    end
end

return M
