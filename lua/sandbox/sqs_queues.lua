--- SQS's operations on queues.

local core = require "sandbox.core"
local fail = require "sandbox.sqs_error"
local input = require "sandbox.sqs_input"
local json = require "host.json"
local Queue = require "sandbox.queue"
local redrive = require "sandbox.sqs_redrive"

local ACCOUNT = "000000000000"
local DELETED_RECENTLY_MS, PURGE_PAUSE_MS = 60000, 60000

-- The attributes of a queue that can be set, their ranges and defaults.
local SETTINGS = {
    DelaySeconds = { 0, 900, 0 },
    MaximumMessageSize = { 1024, 1048576, 1048576 },
    MessageRetentionPeriod = { 60, 1209600, 345600 },
    ReceiveMessageWaitTimeSeconds = { 0, 20, 0 },
    VisibilityTimeout = { 0, Queue.LEASE_MAX_S, 30 },
}
-- Those that are "true" or "false", of FIFO queues.
local SWITCHES = { ContentBasedDeduplication = true, FifoQueue = true }
-- Those that AWS has and this stand-in has not.
local NOT_BUILT = {
    DeduplicationScope = true, FifoThroughputLimit = true, KmsDataKeyReusePeriodSeconds = true,
    KmsMasterKeyId = true, Policy = true, RedriveAllowPolicy = true, SqsManagedSseEnabled = true,
}

local M = { OPERATIONS = {} }
local OPERATIONS = M.OPERATIONS

--- The queue that a request is about.
-- @raise QueueDoesNotExist, InvalidAddress
function M.of(self, asked)
    local url = input.required(asked, "QueueUrl", "string")
    local account, name = url:match("^https?://[^/]+/([^/]+)/([^/?#]+)/?$")
    if not account then fail("InvalidAddress", ("%q is no queue's URL"):format(url)) end
    local queue = account == ACCOUNT and self.queues[name]
    if not queue then fail("QueueDoesNotExist", "The specified queue does not exist.") end
    return queue
end

local function url_of(queue, req)
    return ("http://%s/%s/%s"):format(req.headers.host or "localhost", ACCOUNT, queue.name)
end

--- Whether a queue may have this name.
-- @raise an SQS error
function M.check_name(name)
    if #name > 80 or name:gsub("%.fifo$", ""):find("[^%w_-]") then
        fail("InvalidParameterValue", "a queue's name has letters, digits, hyphens and "
            .. "underscores, at most 80 of them with the .fifo at the end of a FIFO queue's")
    end
end

local function region_of(req)
    return req.headers.authorization:match("Credential=[^/]+/%d+/([^/]+)/") or "us-east-1"
end

--- A queue's ARN, in the region that the request was signed for.
-- @param name of the queue
function M.arn(name, req)
    return ("arn:aws:sqs:%s:%s:%s"):format(region_of(req), ACCOUNT, name)
end

local function read_number(name, text)
    local range = SETTINGS[name]
    local value = type(text) == "string" and text:find("^%d+$") and math.tointeger(tonumber(text))
    if not value or value < range[1] or value > range[2] then
        fail("InvalidAttributeValue", ("Invalid value for the parameter %s: it is an integer "
            .. "from %d to %d, in a string."):format(name, range[1], range[2]))
    end
    return value
end

local function read_settings(self, asked)
    local read = {}
    for name, text in pairs(input.given(asked, "Attributes", "table") or {}) do
        if name == "RedrivePolicy" then
            read[name] = redrive.read(text, self.find, ACCOUNT)
        elseif NOT_BUILT[name] then
            fail("InvalidAttributeValue", name .. " is not built in this stand-in")
        elseif SWITCHES[name] then
            if text ~= "true" and text ~= "false" then
                fail("InvalidAttributeValue", ("Invalid value for the parameter %s: it is true or "
                    .. "false, in a string."):format(name))
            end
            read[name] = text
        elseif not SETTINGS[name] then
            fail("InvalidAttributeName", ("Unknown Attribute %s."):format(name))
        else
            read[name] = read_number(name, text)
        end
    end
    return read
end

local function is_fifo(name)
    return name:find("%.fifo$") ~= nil
end

-- The name says what the attribute says; a dead-letter queue is of its sources' kind.
local function check_kind(name, settings, asked_fifo)
    if is_fifo(name) ~= (asked_fifo == "true") then
        fail("InvalidParameterValue", is_fifo(name) and "a queue's name can only end in .fifo if "
            .. "its attribute FifoQueue is true" or "The name of a FIFO queue must end with .fifo")
    elseif settings.ContentBasedDeduplication and not is_fifo(name) then
        fail("InvalidAttributeName", "Unknown Attribute ContentBasedDeduplication.")
    elseif settings.RedrivePolicy and is_fifo(settings.RedrivePolicy.target) ~= is_fifo(name) then
        fail("InvalidParameterValue", "the dead-letter queue of a FIFO queue is a FIFO queue, that "
            .. "of a standard queue a standard queue")
    end
end

--- Makes a queue; settings that are not given have their defaults.
-- @param settings numbers by name, and RedrivePolicy as sqs_redrive reads it
function M.add(self, name, settings)
    local values = {}
    for key, range in pairs(SETTINGS) do values[key] = settings[key] or range[3] end
    local fifo = is_fifo(name)
    if fifo then
        values.FifoQueue = "true"
        values.ContentBasedDeduplication = settings.ContentBasedDeduplication or "false"
    end
    self.queues[name] = Queue.new { name = name, attributes = values, timers = self.timers,
        fifo = fifo, redrive = settings.RedrivePolicy or nil, find = self.find,
        now = core.now, wall = core.wall, uuid = core.uuid }
    return self.queues[name]
end

local function same(queue, name, value)
    if name == "RedrivePolicy" then return redrive.same(queue.redrive, value) end
    return queue.attributes[name] == value
end

function OPERATIONS.CreateQueue(self, asked, req)
    local name = input.required(asked, "QueueName", "string")
    M.check_name(name)
    local settings = read_settings(self, asked)
    check_kind(name, settings, settings.FifoQueue)
    local queue = self.queues[name]
    if queue then
        for key, value in pairs(settings) do
            if not same(queue, key, value) then
                fail("QueueNameExists", "A queue already exists with the same name and a different "
                    .. "value for attribute " .. key)
            end
        end
    elseif (self.deleted[name] or -math.huge) > core.now() - DELETED_RECENTLY_MS then
        fail("QueueDeletedRecently", "You must wait 60 seconds after deleting a queue before you "
            .. "can create another with the same name.")
    end
    return { QueueUrl = url_of(queue or M.add(self, name, settings), req) }
end

function OPERATIONS.GetQueueUrl(self, asked, req)
    local queue = self.queues[input.required(asked, "QueueName", "string")]
    local owner = input.given(asked, "QueueOwnerAWSAccountId", "string") or ACCOUNT
    if not queue or owner ~= ACCOUNT then
        fail("QueueDoesNotExist", "The specified queue does not exist.")
    end
    return { QueueUrl = url_of(queue, req) }
end

-- One page of the queues that `wanted` accepts: their URLs and the next page's token.
local function page(self, asked, req, wanted)
    local after = input.given(asked, "NextToken", "string")
    local max = input.integer(asked, "MaxResults", 1, 1000)
    local names, urls = {}, {}
    for name, queue in pairs(self.queues) do
        if wanted(queue) and (not after or name > after) then names[#names + 1] = name end
    end
    table.sort(names)
    local count = math.min(#names, max or 1000)
    for i = 1, count do urls[i] = url_of(self.queues[names[i]], req) end
    return urls, max and count < #names and names[count] or nil
end

function OPERATIONS.ListQueues(self, asked, req)
    local prefix = input.given(asked, "QueueNamePrefix", "string") or ""
    local urls, token = page(self, asked, req, function(queue)
        return queue.name:sub(1, #prefix) == prefix
    end)
    return { QueueUrls = #urls > 0 and json.array(urls) or nil, NextToken = token }
end

function OPERATIONS.ListDeadLetterSourceQueues(self, asked, req)
    local target = M.of(self, asked)
    local urls, token = page(self, asked, req, function(queue)
        return queue.redrive and queue.redrive.target == target.name
    end)
    return { queueUrls = json.array(urls), NextToken = token }
end

function OPERATIONS.GetQueueAttributes(self, asked, req)
    local queue = M.of(self, asked)
    local all = {
        QueueArn = M.arn(queue.name, req),
        ApproximateNumberOfMessages = queue.ready.count,
        ApproximateNumberOfMessagesNotVisible = queue.leased,
        ApproximateNumberOfMessagesDelayed = queue.delayed,
        CreatedTimestamp = queue.created_s, LastModifiedTimestamp = queue.modified_s,
    }
    for name, value in pairs(queue.attributes) do all[name] = value end
    if queue.redrive then
        all.RedrivePolicy = redrive.show(queue.redrive, M.arn(queue.redrive.target, req))
    end
    local chosen
    for _, name in ipairs(input.strings(asked, "AttributeNames") or {}) do
        chosen = chosen or {}
        if name == "All" then
            for key, value in pairs(all) do chosen[key] = tostring(value) end
        elseif all[name] then
            chosen[name] = tostring(all[name])
        elseif not NOT_BUILT[name] and not SWITCHES[name] and name ~= "RedrivePolicy" then
            fail("InvalidAttributeName", ("Unknown Attribute %s."):format(name))
        end
    end
    return { Attributes = chosen and next(chosen) and chosen or nil }
end

function OPERATIONS.SetQueueAttributes(self, asked)
    local queue = M.of(self, asked)
    input.required(asked, "Attributes", "table")
    local settings = read_settings(self, asked)
    if settings.FifoQueue and settings.FifoQueue ~= queue.attributes.FifoQueue then
        fail("InvalidAttributeValue", "FifoQueue cannot be changed")
    end
    check_kind(queue.name, settings, queue.attributes.FifoQueue)
    for name, value in pairs(settings) do
        if name == "RedrivePolicy" then
            queue.redrive = value or nil
        else
            queue.attributes[name] = value
        end
    end
    queue.modified_s = core.wall() // 1000
    queue:expire()
end

function OPERATIONS.PurgeQueue(self, asked)
    local queue = M.of(self, asked)
    local now = core.now()
    if queue.purged_at and queue.purged_at > now - PURGE_PAUSE_MS then
        fail("PurgeQueueInProgress", ("Only one PurgeQueue operation on %s is allowed every 60 "
            .. "seconds."):format(queue.name))
    end
    queue.purged_at = now
    queue:purge()
end

function OPERATIONS.DeleteQueue(self, asked)
    local queue = M.of(self, asked)
    self.queues[queue.name] = nil
    self.deleted[queue.name] = core.now()
    queue:close(function(waiter) waiter.refuse() end)
end

return M
