-- Tells the proxy that a run begins, and does what the event says.
local host = require "host"
local http = require "host.http"
local kc = require "host.keycloak"

local M = {}

function M.handle(msg)
    local event = msg.json
    http.post(("%s/run/%d"):format(host.config.runs, msg.attempt), { expect = "2xx" })
    if event.kind == "reject" then
        return host.reject "rejected by design"
    elseif event.kind == "fail" then
        error "fails by design"
    end
    kc.users.ensure {
        username = event.user, email = event.user .. "@example.org",
        groups = { "/customers" }, realmRoles = { "customer" },
    }
end

return M
