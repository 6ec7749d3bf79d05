--- A stand-in for SQS: standard and FIFO queues over AWS's JSON 1.0 protocol, in memory.
--
-- Where servers differ it does what AWS documents. Not built: message move tasks, tags,
-- permissions; asked for, they are refused with words. Signatures are not verified, but a request
-- must carry one.

local answer = require "sandbox.sqs_answer"
local core = require "sandbox.core"
local fail = require "sandbox.sqs_error"
local json = require "host.json"
local messages = require "sandbox.sqs_messages"
local queues = require "sandbox.sqs_queues"

local NOT_BUILT = {
    AddPermission = true, CancelMessageMoveTask = true, ListMessageMoveTasks = true,
    ListQueueTags = true, RemovePermission = true, StartMessageMoveTask = true, TagQueue = true,
    UntagQueue = true,
}

local SKEW_MAX_S = 900

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

-- Seconds since 1970 of "20150830T123600Z"; the days by counting leap years up to a March.
local function signed_at(text)
    local y, m, d, h, min, s = (text or ""):match("^(%d%d%d%d)(%d%d)(%d%d)T(%d%d)(%d%d)(%d%d)Z$")
    if not y then return nil end
    y, m = y - (m + 0 < 3 and 1 or 0), (m + 9) % 12
    local days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5 + d - 719469
    return math.tointeger(days * 86400 + h * 3600 + min * 60 + s)
end

-- The clock is only looked at when it was told to be wrong.
local function check_time(req)
    local at, now = signed_at(req.headers["x-amz-date"]), core.wall() // 1000 + req.skew_s
    if not at or math.abs(now - at) <= SKEW_MAX_S then return end
    local late = now > at
    fail("InvalidSignatureException", ("Signature %s: %s is now %s than %s (%s %s 15 min.)")
        :format(late and "expired" or "not yet current", req.headers["x-amz-date"],
            late and "earlier" or "later",
            os.date("!%Y%m%dT%H%M%SZ", now + (late and -SKEW_MAX_S or SKEW_MAX_S)),
            os.date("!%Y%m%dT%H%M%SZ", now), late and "-" or "+"))
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
    if req.skew_s then check_time(req) end
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
-- @param req its `operation` is the name after the dot of x-amz-target
-- @raise what is no SQS error: a fault of this stand-in
function M:handle(req)
    local ok, result = pcall(run, self, req, req.operation)
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

--- An empty service.
-- @param timers a heap whose items' fire() is called when they are due
-- @param faults those that may hit inside an operation
function M.new(timers, faults)
    local self = setmetatable({ queues = {}, deleted = {}, timers = timers, faults = faults }, M)
    self.find = function(name) return self.queues[name] end
    return self
end

return M
