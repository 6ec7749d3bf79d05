--- Registers people: one event on the queue becomes one user in Keycloak.
--
-- The event (register.event.json is one):
--     { "user": { "username": "anna", "email": "anna@example.org",
--                 "first_name": "Anna", "last_name": "Bell" } }
--
-- Run it with:  host run register.lua -c register.conf.lua
-- The same event may come twice: the user is still made once.

local host = require "host"
local kc = require "host.keycloak"
local log = require "host.log"

-- What everybody gets who registers. Both have to exist in the realm.
local GROUPS = { "/customers" }
local ROLES = { "customer" }

-- Left side: the field in Keycloak. Right side: the field in the event's "user".
local FIELDS = {
    username = "username",
    email = "email",
    firstName = "first_name",
    lastName = "last_name",
}

-- Without these an event is no registration, and trying again would not help.
local NEEDED = { "username", "email" }

local M = {}

function M.handle(msg)
    local event = msg.json
    local person = type(event) == "table" and event.user
    if type(person) ~= "table" then
        return host.reject "the event has no \"user\""
    end

    local user = { enabled = true, groups = GROUPS, realmRoles = ROLES }
    for field, from in pairs(FIELDS) do
        user[field] = person[from]
    end
    for _, field in ipairs(NEEDED) do
        if type(user[field]) ~= "string" or user[field] == "" then
            return host.reject(("the event's user has no %s"):format(FIELDS[field]))
        end
    end

    -- Finishes what an earlier attempt left half done. If Keycloak is away, or says no, this
    -- raises an error, and the message is tried again or set aside: nothing to check here.
    local account, created = kc.users.ensure(user)
    log.info(created and "registered" or "was registered already", { user = account.id })
end

return M
