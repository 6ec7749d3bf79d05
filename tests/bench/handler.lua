--- The bench's handler: one registration, one call.
local host = require "host"
local http = require "host.http"

local url = host.env "BENCH_TARGET"

local M = {}

function M.handle(msg)
    local user = msg.json.user
    http.post {
        url = url,
        json = {
            username = user.username,
            email = user.email,
            firstName = user.first_name,
            lastName = user.last_name,
            enabled = true,
        },
        expect = 201,
    }
end

return M
