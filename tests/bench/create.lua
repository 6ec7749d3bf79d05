--- One registration, one create in Keycloak, and how long it took on the log.
local host = require "host"
local kc = require "host.keycloak"
local log = require "host.log"

local M = {}

function M.handle(msg)
    local user = msg.json.user
    user.enabled = true
    if host.config.password then
        user.credentials = { { type = "password", value = "a-Long-1-password", temporary = false } }
    end
    local began = host.now()
    kc.users.create(user)
    log.info("created", { ms = (host.now() - began) * 1000 })
end

return M
