--- `host invoke`: one message through a handler. What it sends is shown, and answered here: by
-- Keycloak in memory, in which groups and roles are assumed to exist, or by what --answer says.

local host = require "host"
local json = require "host.json"
local keycloak = require "host.test_keycloak"
local server = require "host.test_server"
local stage = require "host.stage"

local M = {}

local BODY_MAX = 2000

local function say(...)
    stage.say(string.format(...))
end

-- The sample events of `host send` count themselves.
local function filled_in(text)
    return (text:gsub("{{uuid}}", host.uuid()):gsub("{{n}}", "1"))
end

local function raw_message(text)
    return { MessageId = host.uuid(), ReceiptHandle = "invoke", Body = text,
        Attributes = { ApproximateReceiveCount = "1",
            SentTimestamp = ("%d"):format(host.now() * 1000 // 1) } }
end

-- A message as SQS's API shows it, whole.
local function whole_message(text)
    local ok, message = pcall(json.decode, text)
    if not ok then error("--as sqs: the event is no JSON: " .. tostring(message), 0) end
    if type(message) ~= "table" or type(message.Body) ~= "string" then
        error("--as sqs: the event is no SQS message: it has no text named Body", 0)
    end
    for name, value in pairs(raw_message(message.Body)) do
        if message[name] == nil then message[name] = value end
    end
    return message
end

local function show_request(request)
    say("%-6s %s", request.method, request.url)
    local body = request.body
    if not body then return end
    say("       %s%s", body:sub(1, BODY_MAX), #body > BODY_MAX and " …" or "")
end

local function show_answer(answer, by)
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
    local assumed
    given, assumed = keycloak.answer(request)
    if given then
        show_answer(given, assumed and "Keycloak in memory: assumed to exist"
            or "Keycloak in memory")
        return given
    end
    say("       → cannot tell: say what it would answer, --answer '%s %s 200'", request.method,
        request.url:match("^[^?]*"))
    return { fails = "connect" }
end

-- "POST https://x.test/* 201 BODY"
local function add_answer(text)
    local method, url, status, body = text:match("^(%S+) (%S+) (%d%d%d) ?(.*)$")
    if not method then
        error(("--answer %q: write METHOD URL STATUS [BODY], as in 'POST https://x.test/* 201'")
            :format(text), 0)
    end
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
    if result.traceback then
        for line in result.traceback:gmatch("[^\n]+") do say("       at %s", line) end
    end
end

--- One run; called by cli/invoke.c.
-- @param msg its body is JSON: { handler =, event =, as =, answers = a list of texts }
-- @return nothing if the handler gave an outcome; a reject of what went wrong otherwise
function M.handle(msg)
    local job = msg.json
    local text = filled_in(job.event)
    local message = job.as == "sqs" and whole_message(text) or raw_message(text)
    for _, one in ipairs(job.answers) do add_answer(one) end
    keycloak.assume()
    stage.answer_with(answer)
    local result = stage.run(job.handler, json.encode(message), 1)
    if job.json then
        say("%s", json.encode(result))
    else
        show_result(result)
    end
    if result.kind then return host.reject(result.kind) end
end

return M
