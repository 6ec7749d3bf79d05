--- A stand-in for SQS: standard queues over AWS's JSON 1.0 protocol, in memory.
--
-- Where servers differ it does what AWS documents. Not built: FIFO queues, message move tasks,
-- tags, permissions; asked for, they are refused with words. Signatures are not verified, but a
-- request must carry one.

local answer = require "sandbox.sqs_answer"
local core = require "sandbox.core"
local fail = require "sandbox.sqs_error"
local Heap = require "sandbox.heap"
local json = require "host.json"
local messages = require "sandbox.sqs_messages"
local queues = require "sandbox.sqs_queues"

local NOT_BUILT = {
    AddPermission = true, CancelMessageMoveTask = true, ListMessageMoveTasks = true,
    ListQueueTags = true, RemovePermission = true, StartMessageMoveTask = true, TagQueue = true,
    UntagQueue = true,
}

local M = {}
M.__index = M

local function check_authorization(req)
    local authorization = req.headers.authorization
    if not authorization then
        fail("MissingAuthenticationTokenException", "Request is missing Authentication Token")
    elseif not authorization:find("^AWS4%-HMAC%-SHA256 ") then
        fail("IncompleteSignatureException", "the Authorization header is none of AWS's signature "
            .. "version 4")
    end
end

local function read_input(req)
    local ok, input = pcall(json.decode, req.body)
    if not ok or not req.body:find("^%s*{") then
        fail("SerializationException", "the request's body is no JSON object"
            .. (ok and "" or ": " .. tostring(input)))
    end
    return input
end

local function run(self, req, name)
    check_authorization(req)
    if NOT_BUILT[name] then
        fail("UnsupportedOperation", name .. " is not built in this stand-in")
    end
    local operation = queues.OPERATIONS[name] or messages[name]
    if not operation then
        fail("UnknownOperationException", ("%q is no operation of SQS"):format(name))
    end
    return operation(self, read_input(req), req)
end

--- Answers a request, maybe later.
-- @param req its header x-amz-target names the operation
-- @raise what is no SQS error: a fault of this stand-in
function M:handle(req)
    local name = req.headers["x-amz-target"]:match("^AmazonSQS%.(.*)$")
    local ok, result = pcall(run, self, req, name)
    if not ok and not fail.is(result) then error(result, 0) end
    if not ok then return answer.bad(req, result) end
    if result ~= answer.LATER then answer.good(req, result) end
end

--- Makes a queue with default attributes, unless there is one of that name.
-- @return nil, or words about what is wrong with the name
function M:add_queue(name)
    local ok, e = pcall(queues.check_name, name)
    if not ok then return fail.is(e) and e.text or tostring(e) end
    if not self.queues[name] then queues.add(self, name, {}) end
    return nil
end

--- Lets one queue take what was received too often from another. Both exist.
-- @param max receives of a message at most
function M:redrive(from, target, max)
    self.queues[from].redrive = { target = target, max = max }
end

--- Does what is due.
function M:tick()
    local first = self.timers:first()
    while first and first.due <= core.now() do
        first:fire()
        first = self.timers:first()
    end
end

--- When tick wants to be called.
-- @return ms of core.now, or nil: never
function M:due()
    local first = self.timers:first()
    return first and first.due
end

--- An empty service.
function M.new()
    local self = setmetatable({ queues = {}, deleted = {}, timers = Heap.new() }, M)
    self.find = function(name) return self.queues[name] end
    return self
end

return M
