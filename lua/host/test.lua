--- Tests of handlers: cases, assertions, a scripted HTTP server, and Keycloak in memory.
--
--     local t = require "host.test"
--     local register = t.handler "register"
--
--     t.case("registers a person", function()
--         t.keycloak.realm { groups = { "/customers" }, roles = { "customer" } }
--         local ada = { username = "ada", email = "ada@example.org" }
--         t.equal(register:run({ json = { user = ada } }).outcome, "ack")
--         t.equal(t.keycloak.user("ada").groups, { "/customers" })
--     end)
--
-- `host test` runs each case of the files that are named *_test.lua. The handler runs as in
-- production, in a Lua state of its own with its configuration and limits; only time and network
-- are the test's: sleeps take no time, and what neither Keycloak nor t.http answers fails the case.

local stage = require "host.stage"
local json = require "host.json"
local differences = require "host.test_differences"
local keycloak = require "host.test_keycloak"
local server = require "host.test_server"

local M = {}

local cases, by_name = {}, {}
local running -- the case that runs: { assertions, ran }

--- Declares a case.
-- @param name what it shows; each once in a file
-- @param body the function that shows it
-- @raise contract if it is not declared while the file loads, or the name is taken
function M.case(name, body)
    if type(name) ~= "string" or type(body) ~= "function" then
        error("t.case takes a name and a function", 0)
    elseif by_name[name] then
        error(("the case %q is there already"):format(name), 0)
    elseif running then
        error("t.case belongs into the file itself, not into a case", 0)
    end
    cases[#cases + 1] = { name = name, body = body }
    by_name[name] = #cases
    stage.found(name)
end

-- ---- assertions

local function count()
    if running then running.assertions = running.assertions + 1 end
end

-- Errors carry no place of this file: the verdict has the place in the test.
-- Said in full now, because a verdict's reason is one line.
local function fail(words)
    stage.say(words)
    error(words, 0)
end

--- Both are the same: numbers and strings by value, tables field by field.
-- @param actual what came
-- @param expected what should
-- @param words what this is about (optional)
-- @raise the differences, one a line
function M.equal(actual, expected, words)
    count()
    local list = differences.of(actual, expected)
    if #list == 0 then return end
    fail((words and words .. ": " or "") .. table.concat(list, "\n"))
end

--- The value is neither nil nor false.
-- @param value anything
-- @param words what is wrong otherwise
-- @return the value
function M.ok(value, words)
    count()
    if not value then fail(words or "expected a true value, got " .. tostring(value)) end
    return value
end

--- The text matches a Lua pattern.
-- @param text a string
-- @param pattern the pattern
function M.matches(text, pattern)
    count()
    if type(text) ~= "string" or not text:find(pattern) then
        fail(("expected something like %q, got %s"):format(pattern, differences.show(text)))
    end
end

--- The function raises an error whose words match a pattern.
-- @param body a function
-- @param pattern a Lua pattern (optional)
-- @return the error
function M.raises(body, pattern)
    count()
    local ok, problem = pcall(body)
    if ok then fail("expected an error, and there was none") end
    if pattern and not tostring(problem):find(pattern) then
        fail(("expected an error like %q, got %q"):format(pattern, tostring(problem)))
    end
    return problem
end

-- ---- handlers

--- A handler under test.
-- @class host.test.Handler
local Handler = {}
Handler.__index = Handler

--- The handler under test.
-- @param path its file beside the test, with or without ".lua"
-- @return host.test.Handler: each case that runs it gets a fresh state of it
function M.handler(path)
    if type(path) ~= "string" then error("t.handler takes the name of a file", 0) end
    return setmetatable({ path = path:find("%.lua$") and path or path .. ".lua" }, Handler)
end

local function attribute(name, value)
    if type(value) == "table" then return value end -- { DataType =, StringValue = }
    if type(value) == "number" then
        return { DataType = "Number", StringValue = tostring(value) }
    elseif type(value) ~= "string" then
        error(("the attribute %s must be a string, a number or SQS's table"):format(name), 0)
    end
    return { DataType = "String", StringValue = value }
end

local FIELDS = { json = true, body = true, id = true, attributes = true, attempt = true,
    receive_count = true, sent_at = true, group = true, trace = true }

local function check_fields(message)
    for name in pairs(message) do
        if not FIELDS[name] then
            error(("a message has no field %q to set"):format(tostring(name)), 0)
        end
    end
    if (message.json == nil) == (message.body == nil) then
        error("a message needs one of json and body", 0)
    end
end

local function system_of(message)
    local receives = message.receive_count or 1
    local system = { ApproximateReceiveCount = tostring(receives),
        SentTimestamp = ("%d"):format((message.sent_at or 1700000000) * 1000 // 1),
        MessageGroupId = message.group }
    return system, receives
end

-- As SQS would hand it out.
local function sqs_message(message)
    local attributes = {}
    for name, value in pairs(message.attributes or {}) do
        attributes[name] = attribute(name, value)
    end
    if message.trace then attributes.traceparent = attribute("traceparent", message.trace) end
    local system, receives = system_of(message)
    return json.encode {
        MessageId = message.id or "00000000-0000-4000-8000-000000000001",
        ReceiptHandle = "test", Body = message.body or json.encode(message.json),
        Attributes = system, MessageAttributes = next(attributes) and attributes or nil,
    }, message.attempt or receives
end

--- Runs one message through the handler.
-- @param message a string (the body), or a table with json or body, and what else msg has: id,
--   attributes, attempt, receive_count, sent_at, group, trace
-- @return what becomes of it: outcome ("ack", "retry", "reject", "park": its target failed,
--   "release"), reason, kind, at, traceback, after, target, duration (seconds, sleeps included)
-- @raise when the handler does not load
function Handler:run(message)
    if not running then error("run belongs into a case", 0) end
    if type(message) == "string" then message = { body = message } end
    if type(message) ~= "table" then error("run takes a message: a body, or a table", 0) end
    check_fields(message)
    local ok, outcome = pcall(stage.run, self.path, sqs_message(message))
    if ok then return outcome end
    if tostring(outcome):find("\n", 1, true) then fail(outcome) end -- it does not load: its line
    error(outcome, 0)
end

-- ---- what the handler calls

--- Keycloak in memory: see host.test_keycloak.
M.keycloak = keycloak.api

--- A scripted HTTP server: see host.test_server.
M.http = server.api

stage.answer_with(function(request)
    local answer = server.answer(request) or keycloak.answer(request)
    if answer then return answer end
    stage.say(("nobody answers %s %s: add t.http.on(%q, %q, {status = 200})"):format(
        request.method, request.url, request.method, request.url))
    return { fails = "connect" }
end)

-- ---- the runner, for `host test`

--- Runs the case that the message names; called by the runner.
-- @param msg its body is the case's name
function M.handle(msg)
    local case = cases[by_name[msg.body]]
    running = { assertions = 0 }
    server.reset()
    keycloak.reset()
    local this_case = case.body
    this_case() -- not protected: the verdict on this message has the place of an error
    if running.assertions == 0 then
        stage.say("the case asserts nothing: t.equal, t.ok, t.matches, t.raises")
    end
end

return M
