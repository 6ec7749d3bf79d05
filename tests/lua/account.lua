-- What host.keycloak does to an account that is there; the event says which.
local kc = require "host.keycloak"

local M = {}

function M.handle(msg)
    local e = msg.json
    local user = kc.users.ensure(e.user)
    if e.merge then kc.users.merge(user.id, e.merge) end
    if e.password then kc.users.set_password(user.id, e.password, { temporary = true }) end
    if e.join then kc.organizations.members.add(e.join, user.id) end
    if e.mail then kc.users.execute_actions(user.id, e.mail) end
end

return M
