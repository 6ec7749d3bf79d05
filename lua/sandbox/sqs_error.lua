--- SQS's errors: raised by `fail(code, text)`, shown by `fail.answer`.

local json = require "host.json"

local OLD = "AWS.SimpleQueueService."

-- JSON code → the query protocol's spelling, where it is another; the status, where it is not 400.
-- Modelled errors carry SQS's own name space, the others their front end's.
local MODELLED = {
    BatchEntryIdsNotDistinct = { query = OLD .. "BatchEntryIdsNotDistinct" },
    BatchRequestTooLong = { query = OLD .. "BatchRequestTooLong" },
    EmptyBatchRequest = { query = OLD .. "EmptyBatchRequest" },
    InvalidAddress = { status = 404 },
    InvalidAttributeName = {},
    InvalidAttributeValue = {},
    InvalidBatchEntryId = { query = OLD .. "InvalidBatchEntryId" },
    InvalidMessageContents = {},
    MessageNotInflight = { query = OLD .. "MessageNotInflight" },
    OverLimit = { status = 403 },
    PurgeQueueInProgress = { query = OLD .. "PurgeQueueInProgress", status = 403 },
    QueueDeletedRecently = { query = OLD .. "QueueDeletedRecently" },
    QueueDoesNotExist = { query = OLD .. "NonExistentQueue" },
    QueueNameExists = { query = "QueueAlreadyExists" },
    ReceiptHandleIsInvalid = { status = 404 },
    RequestThrottled = { status = 403 },
    TooManyEntriesInBatchRequest = { query = OLD .. "TooManyEntriesInBatchRequest" },
    UnsupportedOperation = { query = OLD .. "UnsupportedOperation" },
}
local FRONT_END = {
    IncompleteSignatureException = { query = "IncompleteSignature" },
    InvalidParameterValue = {},
    InvalidSignatureException = { query = "SignatureDoesNotMatch", status = 403 },
    MissingAuthenticationTokenException = { query = "MissingAuthenticationToken", status = 403 },
    MissingParameter = {},
    SerializationException = {},
    UnknownOperationException = { query = "UnknownOperation" },
}

local Error = {}
Error.__index = Error
Error.__tostring = function(e) return e.code .. ": " .. e.text end

local M = setmetatable({}, {
    __call = function(_, code, text)
        error(setmetatable({ code = code, text = text }, Error), 0)
    end,
})

--- Whether something that was raised is an SQS error.
function M.is(e)
    return getmetatable(e) == Error
end

--- The answer to a request that failed.
-- @param e what was raised
-- @return status, headers, body
function M.answer(e)
    local shape = MODELLED[e.code] or FRONT_END[e.code]
    local space = MODELLED[e.code] and "com.amazonaws.sqs#" or "com.amazon.coral.service#"
    local headers = { ["x-amzn-query-error"] = (shape.query or e.code) .. ";Sender" }
    return shape.status or 400, headers, json.encode { __type = space .. e.code, message = e.text }
end

return M
