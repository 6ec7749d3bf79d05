--- Registers people, like register.lua, with the mapping as a table: whoever runs this changes
-- lines of FIELDS, not code.
--
-- Run it with:  host run register_map.lua -c register.conf.lua

local kc = require "host.keycloak"
local log = require "host.log"
local map = require "host.map"

-- Left: the field in Keycloak. Right: where it comes from in the event.
local to_user = map {
    username = { "user.username", required = true, transform = "trim" },
    email = { "user.email", required = true, transform = "trim" },
    firstName = "user.first_name",
    lastName = "user.last_name",
    enabled = { value = true },
    groups = { list = { { value = "/customers" } } },
    realmRoles = { list = { { value = "customer" } } },
}

local M = {}

function M.handle(msg)
    local account, created = kc.users.ensure(to_user(msg.json))
    log.info(created and "registered" or "was registered already", { user = account.id })
end

return M
