--- How SQS answers.

local core = require "sandbox.core"
local fail = require "sandbox.sqs_error"
local json = require "host.json"

local M = {
    LATER = {}, -- what an operation returns that will answer by itself
}

local function headers_with(more)
    local headers = more or {}
    headers["Content-Type"] = "application/x-amz-json-1.0"
    headers["x-amzn-RequestId"] = core.uuid()
    return headers
end

--- Answers a request that succeeded.
-- @param result a table; nil: the operation has an empty answer
function M.good(req, result)
    req.result = result -- for the log
    req:reply(200, headers_with(), result and json.encode(json.object(result)) or "")
end

--- Answers a request with an SQS error.
-- @param e a table with its code and text
function M.bad(req, e)
    local status, headers, body = fail.answer(e)
    req:reply(status, headers_with(headers), body)
end

return M
