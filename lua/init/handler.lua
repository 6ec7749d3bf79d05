--- One event on the queue becomes one user in Keycloak.
--
-- Try it:     host invoke NAME.lua -e event.json
-- Test it:    host test
-- Run it:     host run NAME.lua

local kc = require "host.keycloak"
local map = require "host.map"

-- Left: the field in Keycloak. Right: where it comes from in the event.
local to_user = map {
    username = { "user.username", required = true, transform = "trim" },
    email = { "user.email", required = true, transform = "trim" },
    firstName = "user.first_name",
    lastName = "user.last_name",
    enabled = { value = true },
}

local M = {}

--- Returning normally deletes the message; an error brings it back later, and one that cannot get
-- better (an event without an e-mail, somebody else's account) sends it to the dead-letter queue.
---@param msg host.msg
function M.handle(msg)
    kc.users.ensure(to_user(msg.json))
end

return M
