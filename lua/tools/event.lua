--- A file with an event as the message of a dry run: `host invoke`, `host check --online`.

local host = require "host"

local M = {}

--- The sample events of `host send` count themselves.
-- @param text of the file
-- @return it with {{uuid}} and {{n}} filled in
function M.filled_in(text)
    return (text:gsub("{{uuid}}", host.uuid()):gsub("{{n}}", "1"))
end

--- @param text the body
-- @return a message as SQS gives it at its first receive
function M.message(text)
    return { MessageId = host.uuid(), ReceiptHandle = "invoke", Body = text,
        Attributes = { ApproximateReceiveCount = "1",
            SentTimestamp = ("%d"):format(host.now() * 1000 // 1) } }
end

return M
