--- Sends the request that the event describes.

local http = require "host.http"

local M = {}

function M.handle(msg)
    http.request(msg.json)
end

return M
