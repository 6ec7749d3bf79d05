--- SQS's operations on messages.

local answer = require "sandbox.sqs_answer"
local attributes = require "sandbox.attributes"
local core = require "sandbox.core"
local crypto = require "host.crypto"
local fail = require "sandbox.sqs_error"
local input = require "sandbox.sqs_input"
local json = require "host.json"
local queues = require "sandbox.sqs_queues"
local Queue = require "sandbox.queue"

local SENDER = "AIDASANDBOX0000000000"
local BATCH_MAX = 10
local BYTES_MAX = 1048576
local WAIT_MAX_S = 20

local OPERATIONS = {}

-- ---- send -----------------------------------------------------------------------------------

local function check_body(body)
    if attributes.refused(body) then
        fail("InvalidMessageContents", "The message contains characters that are not allowed: of "
            .. "the control characters tab, line feed and carriage return are")
    end
end

local function read_trace(asked)
    local list = attributes.read(input.given(asked, "MessageSystemAttributes", "table"))
    for _, a in ipairs(list) do
        if a.name ~= "AWSTraceHeader" or a.type ~= "String" then
            fail("InvalidParameterValue", "the only message system attribute is AWSTraceHeader, a "
                .. "String")
        end
    end
    return list
end

local function check_order_id(name, id)
    if id and (#id > 128 or id == "" or id:find("[^%w%p]")) then
        fail("InvalidParameterValue", ("The parameter %s can only include alphanumeric and "
            .. "punctuation characters. 1 to 128 in length."):format(name))
    end
end

-- Group and deduplication id. A standard queue may have groups, as tenants.
local function read_order(queue, asked, body)
    local group = input.given(asked, "MessageGroupId", "string")
    local id = input.given(asked, "MessageDeduplicationId", "string")
    check_order_id("MessageGroupId", group)
    check_order_id("MessageDeduplicationId", id)
    if not queue.fifo then
        if id then
            fail("InvalidParameterValue", "MessageDeduplicationId is for FIFO queues only")
        end
        return group
    end
    if not group then
        fail("MissingParameter", "The request must contain the parameter MessageGroupId.")
    elseif not id and queue.attributes.ContentBasedDeduplication ~= "true" then
        fail("InvalidParameterValue", "The queue should either have ContentBasedDeduplication "
            .. "enabled or MessageDeduplicationId provided explicitly")
    elseif input.integer(asked, "DelaySeconds", 0, 900) then
        fail("InvalidParameterValue", ("Value %d for parameter DelaySeconds is invalid. Reason: "
            .. "The request include parameter that is not valid for this queue type.")
            :format(asked.DelaySeconds))
    end
    return group, id or crypto.hex(crypto.sha256(body))
end

-- Checks an entry before anything is stored. Returns the message, its delay and its size.
local function read_message(queue, asked)
    local body = input.required(asked, "MessageBody", "string")
    local list, size = attributes.read(input.given(asked, "MessageAttributes", "table"))
    local trace = read_trace(asked)
    local group, dedupe_id = read_order(queue, asked, body)
    check_body(body)
    return {
        body = body, md5 = crypto.hex(crypto.md5(body)), attributes = list,
        attributes_md5 = attributes.md5(list), trace = trace[1] and trace[1].value,
        trace_md5 = attributes.md5(trace), group = group, dedupe_id = dedupe_id,
    }, input.integer(asked, "DelaySeconds", 0, 900) or queue.attributes.DelaySeconds, size + #body
end

local function check_size(queue, size)
    local max = queue.attributes.MaximumMessageSize
    if size > max then
        fail("InvalidParameterValue", ("One or more parameters are invalid. Reason: Message must "
            .. "be shorter than %d bytes."):format(max))
    end
end

local function sent(message)
    return { MessageId = message.id, MD5OfMessageBody = message.md5,
        MD5OfMessageAttributes = message.attributes_md5,
        MD5OfMessageSystemAttributes = message.trace_md5, SequenceNumber = message.sequence }
end

-- A deduplication id that was used in the last five minutes: success, and nothing is enqueued.
local function send(queue, message, delay_s)
    local earlier = queue.fifo and queue.fifo:sent_with(message.dedupe_id)
    if earlier then
        message.id, message.sequence = earlier.id, earlier.sequence
    else
        queue:send(message, delay_s)
    end
    return sent(message)
end

function OPERATIONS.SendMessage(self, asked)
    local queue = queues.of(self, asked)
    local message, delay_s, size = read_message(queue, asked)
    check_size(queue, size)
    local answered = send(queue, message, delay_s)
    queue:wake()
    return answered
end

-- ---- batches --------------------------------------------------------------------------------

local function read_entries(asked)
    local entries = input.given(asked, "Entries", "table")
    if not entries or #entries == 0 then
        fail("EmptyBatchRequest", "There should be at least one entry in the request.")
    elseif #entries > BATCH_MAX then
        fail("TooManyEntriesInBatchRequest", ("Maximum number of entries per request are %d. You "
            .. "have sent %d."):format(BATCH_MAX, #entries))
    end
    local known = {}
    for _, entry in ipairs(entries) do
        if type(entry) ~= "table" then
            fail("SerializationException", "an entry is no structure")
        end
        local id = input.required(entry, "Id", "string")
        if #id > 80 or id:find("[^%w_-]") then
            fail("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric "
                .. "characters, hyphens and underscores, and at most 80 of them.")
        elseif known[id] then
            fail("BatchEntryIdsNotDistinct", ("Id %s repeated."):format(id))
        end
        known[id] = true
    end
    return entries
end

-- Runs `work(entry)` for each entry; an SQS error, or a fault that is on, fails that entry alone.
local function each_entry(self, req, entries, work)
    local good, bad = {}, {}
    for _, entry in ipairs(entries) do
        local fault = self.faults:fire("fail_entries", "sqs", req.operation)
        local ok, result = true, nil
        if not fault or fault.when == "after" then ok, result = pcall(work, entry) end
        if ok and fault then
            bad[#bad + 1] = { Id = entry.Id, SenderFault = fault.sender_fault, Code = fault.code,
                Message = fault.message }
        elseif ok then
            result = result or {}
            result.Id = entry.Id
            good[#good + 1] = result
        elseif fail.is(result) then
            bad[#bad + 1] = { Id = entry.Id, SenderFault = true, Code = result.code,
                Message = result.text }
        else
            error(result, 0)
        end
    end
    return { Successful = json.array(good), Failed = json.array(bad) }
end

function OPERATIONS.SendMessageBatch(self, asked, req)
    local queue = queues.of(self, asked)
    local entries, total = read_entries(asked), 0
    local read = {}
    for _, entry in ipairs(entries) do
        local ok, message, delay_s, size = pcall(read_message, queue, entry)
        if not ok and not fail.is(message) then error(message, 0) end
        read[entry.Id] = { ok = ok, message = message, delay_s = delay_s, size = size }
        total = total + (size or 0)
    end
    if total > BYTES_MAX then
        fail("BatchRequestTooLong", ("Batch requests cannot be longer than %d bytes. You have sent "
            .. "%d bytes."):format(BYTES_MAX, total))
    end
    local result = each_entry(self, req, entries, function(entry)
        local r = read[entry.Id]
        if not r.ok then error(r.message, 0) end
        check_size(queue, r.size)
        return send(queue, r.message, r.delay_s)
    end)
    queue:wake()
    return result
end

-- ---- receive --------------------------------------------------------------------------------

local SYSTEM = {
    SenderId = function() return SENDER end,
    SentTimestamp = function(m) return tostring(m.sent_wall) end,
    ApproximateReceiveCount = function(m) return tostring(m.receives) end,
    ApproximateFirstReceiveTimestamp = function(m) return tostring(m.first_wall) end,
    AWSTraceHeader = function(m) return m.trace end,
    MessageGroupId = function(m) return m.group end,
    SequenceNumber = function(m) return m.sequence end,
    MessageDeduplicationId = function(m) return m.dedupe_id end,
    DeadLetterQueueSourceArn = function(m, req)
        return m.source and queues.arn(m.source, req) or nil
    end,
}

local function read_system_names(asked)
    local wanted = {}
    for _, member in ipairs { "MessageSystemAttributeNames", "AttributeNames" } do
        for _, name in ipairs(input.strings(asked, member) or {}) do
            if name == "All" then return SYSTEM end
            if not SYSTEM[name] then
                fail("InvalidAttributeName", ("Unknown Attribute %s."):format(name))
            end
            wanted[name] = SYSTEM[name]
        end
    end
    return next(wanted) and wanted
end

local function show(queue, message, req, system, names)
    local shown = { MessageId = message.id, ReceiptHandle = queue:handle_of(message),
        MD5OfBody = message.md5, Body = message.body }
    if system then
        shown.Attributes = {}
        for name, value in pairs(system) do shown.Attributes[name] = value(message, req) end
        if not next(shown.Attributes) then shown.Attributes = nil end
    end
    local chosen = attributes.select(message.attributes, names)
    if #chosen > 0 then
        shown.MessageAttributes = attributes.show(chosen)
        shown.MD5OfMessageAttributes = chosen == message.attributes and message.attributes_md5
            or attributes.md5(chosen)
    end
    return shown
end

function OPERATIONS.ReceiveMessage(self, asked, req)
    local queue = queues.of(self, asked)
    local max = input.integer(asked, "MaxNumberOfMessages", 1, BATCH_MAX) or 1
    local visibility_s = input.integer(asked, "VisibilityTimeout", 0, Queue.LEASE_MAX_S)
        or queue.attributes.VisibilityTimeout
    local wait_s = input.integer(asked, "WaitTimeSeconds", 0, WAIT_MAX_S)
        or queue.attributes.ReceiveMessageWaitTimeSeconds
    local system, names = read_system_names(asked), input.strings(asked, "MessageAttributeNames")
    local attempt = input.given(asked, "ReceiveRequestAttemptId", "string")
    check_order_id("ReceiveRequestAttemptId", attempt)
    if attempt and not queue.fifo then
        fail("InvalidParameterValue", "ReceiveRequestAttemptId is for FIFO queues only")
    end
    local function result(messages)
        if attempt and #messages > 0 then queue.fifo:received(attempt, messages) end
        local shown = {}
        for i, message in ipairs(messages) do
            shown[i] = show(queue, message, req, system, names)
        end
        local repeatable = Queue.repeatable(messages)
        if #repeatable > 0 and not queue.fifo
            and self.faults:fire("duplicate", "sqs", req.operation) then
            queue:deliver_again(repeatable)
        end
        return { Messages = #shown > 0 and json.array(shown) or nil }
    end
    local earlier = attempt and queue.fifo:attempt(attempt)
    if earlier == false then
        fail("InvalidParameterValue", ("Value %s for parameter ReceiveRequestAttemptId is invalid. "
            .. "Reason: The attempt id is not valid anymore since the receive call is not "
            .. "retryable."):format(attempt))
    elseif earlier then
        queue:take_again(earlier, visibility_s)
        return result(earlier)
    end
    if queue:is_full() and wait_s == 0 and not queue.fifo then
        fail("OverLimit", "Too many messages are in flight: at most 120000 can be.")
    end
    local messages = queue:take(max, visibility_s)
    if #messages > 0 or wait_s == 0 then return result(messages) end
    local waiter = { max = max, visibility_s = visibility_s, till = core.now() + wait_s * 1000,
        here = function() return req:here() end,
        answer = function(taken) answer.good(req, result(taken)) end,
        refuse = function()
            answer.bad(req, { code = "QueueDoesNotExist",
                text = "The specified queue does not exist." })
        end }
    req.on_gone = function() queue:stop_waiting(waiter) end
    queue:wait(waiter)
    return answer.LATER
end

-- ---- leases and deletes ---------------------------------------------------------------------

local function resolve(queue, asked)
    local known, message, newest = queue:resolve(input.required(asked, "ReceiptHandle", "string"))
    if not known then
        fail("ReceiptHandleIsInvalid", "The asked receipt handle is not a valid receipt handle.")
    end
    return newest and message
end

-- A handle that is not the newest: success, and nothing is deleted. On a FIFO queue that is an
-- error, and so is the newest one of a lease that has ended; deleted already is success there, too.
local function delete(queue, asked)
    local message = resolve(queue, asked)
    if message and (not queue.fifo or message.state == "leased") then
        return queue:delete(message)
    end
    local _, known = queue:resolve(asked.ReceiptHandle)
    if queue.fifo and known then
        fail("InvalidParameterValue", ("Value %s for parameter ReceiptHandle is invalid. Reason: "
            .. "The receipt handle has expired."):format(asked.ReceiptHandle))
    end
end

local function change(queue, asked)
    input.required(asked, "VisibilityTimeout", "number")
    local seconds = input.integer(asked, "VisibilityTimeout", 0, Queue.LEASE_MAX_S)
    local message = resolve(queue, asked)
    if not message then
        fail("InvalidParameterValue", ("Value %s for parameter ReceiptHandle is invalid. Reason: "
            .. "Message does not exist or is not available for visibility timeout change.")
            :format(asked.ReceiptHandle))
    end
    local ok, why = queue:change(message, seconds)
    if not ok and why == "not in flight" then
        fail("MessageNotInflight", "The specified message isn't in flight.")
    elseif not ok then
        fail("InvalidParameterValue", ("Value %d for parameter VisibilityTimeout is invalid. "
            .. "Reason: Total VisibilityTimeout for the message is beyond the limit [%d seconds]")
            :format(seconds, Queue.LEASE_MAX_S))
    end
end

function OPERATIONS.DeleteMessage(self, asked)
    delete(queues.of(self, asked), asked)
end

function OPERATIONS.ChangeMessageVisibility(self, asked)
    change(queues.of(self, asked), asked)
end

function OPERATIONS.DeleteMessageBatch(self, asked, req)
    local queue = queues.of(self, asked)
    return each_entry(self, req, read_entries(asked), function(entry)
        return delete(queue, entry)
    end)
end

function OPERATIONS.ChangeMessageVisibilityBatch(self, asked, req)
    local queue = queues.of(self, asked)
    return each_entry(self, req, read_entries(asked), function(entry)
        return change(queue, entry)
    end)
end

return OPERATIONS
