--- The roles of realm-management that calls of the Admin API take, as far as the path tells.
--
-- Measured on Keycloak 26.7, call by call, with clients that have one role each: any one of `roles`
-- is enough. So manage-users reads users and groups as well, and query-users alone is no help: with
-- it a search answers with an empty list, whoever is there.

local M = {}

local USERS = {
    read = { roles = { "view-users", "manage-users" }, why = "to read users and groups" },
    write = { roles = { "manage-users" }, why = "to create and change users" },
}

local ORGANIZATIONS = {
    read = { roles = { "view-organizations", "manage-organizations", "manage-realm" },
        why = "to look up organizations" },
    write = { roles = { "manage-organizations", "manage-realm" },
        why = "to change organizations and who is in them" },
}

local ROLES_READ = { roles = { "view-realm", "manage-realm" }, why = "to look up realm roles" }
local REALM = { roles = { "manage-realm" }, why = "to change the realm" }

-- Patterns of paths below /admin/realms/{realm}; the first one that fits.
local RULES = {
    { "^/users%f[/\0]", USERS },
    { "^/groups%f[/\0]", USERS },
    { "^/group%-by%-path/", USERS },
    { "^/roles%f[/\0]", { read = ROLES_READ, write = REALM } },
    { "^/clients%f[/\0]", {
        read = { roles = { "view-clients", "manage-clients" }, why = "to look up client roles" },
        write = { roles = { "manage-clients" }, why = "to change clients" } } },
    { "^/organizations%f[/\0]", ORGANIZATIONS },
    { "^/partialImport$", { read = REALM, write = REALM } },
}

--- What a call takes.
-- @param method "GET", "POST", …
-- @param path below /admin/realms/{realm}, encoded, without its query
-- @return a list of { roles = any one of which is enough, why = words }, each needed; empty: not
--   known, or any role will do
function M.needed(method, path)
    local reading = method == "GET" or method == "HEAD"
    for _, rule in ipairs(RULES) do
        if path:find(rule[1]) then
            local needs = { rule[2][reading and "read" or "write"] }
            -- Keycloak takes a membership for a change of the user, too.
            if not reading and path:find("^/organizations/[^/]+/members") then
                needs[2] = USERS.write
            end
            return needs
        end
    end
    return {}
end

--- What a handler that registers users cannot do without, as `needed` gives it.
M.TO_REGISTER = { USERS.write, USERS.read }
--- What it needs beside that to give realm roles.
M.TO_GIVE_ROLES = ROLES_READ

return M
