--- `host invoke`: one message through a handler. What it sends is shown, and answered here: by
-- Keycloak in memory (tools.invoke_keycloak), or by what --answer says. With --live all is sent,
-- and cli/invoke.c shows it.

local event = require "tools.event"
local host = require "host"
local json = require "host.json"
local keycloak = require "tools.invoke_keycloak"
local server = require "host.test_server"
local sorted_json = require "tools.sorted_json"
local stage = require "host.stage"

local M = {}

local BODY_MAX = 2000

local quiet = false -- --json: everything is in the one object at the end
local requests = {}

local function say(...)
    if not quiet then stage.say(string.format(...)) end
end

-- A message as SQS's API shows it, whole.
local function whole_message(text)
    local ok, message = pcall(json.decode, text)
    if not ok then error("--as sqs: the event is no JSON: " .. tostring(message), 0) end
    if type(message) ~= "table" or type(message.Body) ~= "string" then
        error("--as sqs: the event is no SQS message: it has no text named Body", 0)
    end
    for name, value in pairs(event.message(message.Body)) do
        if message[name] == nil then message[name] = value end
    end
    return message
end

local HIDDEN = "***"

local function hide(credential)
    for _, name in ipairs { "value", "secretData" } do
        if type(credential) == "table" and type(credential[name]) == "string" then
            credential[name] = HIDDEN
        end
    end
end

-- A request's body as it may be shown: what is printed gets into tickets and logs of builds, and a
-- user's password must not. Sorted, so that two runs print the same.
local function shown_body(request)
    local body = request.body
    if not body then return nil end
    if not body:find('"value"', 1, true) and not body:find('"secretData"', 1, true) then
        return sorted_json.of(body)
    end
    local ok, value = pcall(json.decode, body)
    if not ok or type(value) ~= "table" then return body end
    if request.url:find("/reset%-password$") then hide(value) end
    if type(value.credentials) == "table" then
        for _, credential in ipairs(value.credentials) do hide(credential) end
    end
    return sorted_json.encode(value)
end

local function show_request(request)
    local body = shown_body(request)
    requests[#requests + 1] = { method = request.method, url = request.url, body = body }
    say("%-6s %s", request.method, request.url)
    if not body then return end
    say("       %s%s", body:sub(1, BODY_MAX), #body > BODY_MAX and " …" or "")
end

local function show_answer(answer, by)
    local shown = requests[#requests]
    shown.status, shown.fails, shown.by = answer.status, answer.fails, by
    if answer.fails then
        say("       → %s (%s)", answer.fails, by)
    else
        say("       → %d (%s)", answer.status, by)
    end
end

local function answer(request)
    show_request(request)
    local given = server.answer(request)
    if given then
        show_answer(given, "by --answer")
        return given
    end
    local by
    given, by = keycloak.answer(request)
    if given then
        show_answer(given, by)
        return given
    end
    requests[#requests].by = "cannot tell"
    say("       → cannot tell: say what it would answer, --answer '%s %s 200'", request.method,
        request.url:match("^[^?]*"))
    return { fails = "connect" }
end

-- "POST https://x.test/* 201 BODY": cli/invoke.c has looked at its form.
local function add_answer(text)
    local method, url, status, body = text:match("^(%S+) (%S+) (%d%d%d) ?(.*)$")
    server.api.on(method, url, { status = math.tointeger(status), body = body })
end

local function show_result(result)
    local words = { result.outcome }
    if result.outcome == "park" then
        words[1] = ("parked until %s is back"):format(result.target or "its server")
    end
    if result.after then words[#words + 1] = ("after %g s"):format(result.after) end
    say("%s", table.concat(words, " "))
    if result.reason then
        local placed = result.at and result.reason:sub(1, #result.at) ~= result.at
        say("       %s%s", placed and result.at .. ": " or "", result.reason)
    end
    if result.source then
        for line in result.source:gmatch("[^\n]+") do say("       %s", line) end
    end
    if result.traceback then
        for line in result.traceback:gmatch("[^\n]+") do say("       at %s", line) end
    end
end

local function show_timeline(list)
    say("timeline")
    for _, wait in ipairs(list) do
        say("%9.1f ms  %s %s%s  %.1f ms", wait.at_ms, wait.call, wait.what,
            wait.result ~= "" and " → " .. wait.result or "", wait.took_ms)
    end
end

-- At spaces, for a terminal of 80 columns.
local function fold(text, indent)
    local line, column = {}, 0
    for word in text:gmatch "%S+" do
        local before = #line > 0 and " " or indent
        if column + #before + #word > 80 then before, column = "\n" .. indent, -1 end
        line[#line + 1] = before .. word
        column = column + #before + #word
    end
    return table.concat(line)
end

-- Nothing that is printed may look like a sure answer where it is none.
local function warn_of(trouble)
    if not trouble then return end
    say("note: Keycloak could not be read; groups and roles are taken to exist, no users")
    say("%s", fold("(" .. trouble .. ")", "      "))
end

--- One run; called by cli/invoke.c.
-- @param msg its body is JSON: { handler =, event =, as =, live =, reads =, json =,
--   answers = a list of texts }
-- @return nothing if the handler gave an outcome; a reject of what went wrong otherwise
function M.handle(msg)
    local job = msg.json
    local text = event.filled_in(job.event)
    local message = job.as == "sqs" and whole_message(text) or event.message(text)
    for _, one in ipairs(job.answers) do add_answer(one) end
    quiet = job.json
    keycloak.start(job.reads)
    stage.answer_with(answer)
    local result = stage.run(job.handler, json.encode(message), 1)
    local timeline = stage.timeline()
    if job.json then
        result.requests = not job.live and json.array(requests) or nil
        result.timeline = timeline and json.decode(timeline) or nil
        result.note = keycloak.trouble()
        stage.say(sorted_json.encode(result))
    else
        warn_of(keycloak.trouble())
        show_result(result)
        if timeline then show_timeline(json.decode(timeline)) end
    end
    if result.kind then return host.reject(result.kind) end
end

return M
