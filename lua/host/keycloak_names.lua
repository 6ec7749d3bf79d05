--- What names stand for in a realm: group paths, roles, clients, organizations, and whether the
-- e-mail is the user name. Remembered for a minute in this Lua state, so that a thousand
-- registrations into one group cost one look-up, and a group that was made a moment ago is found:
-- that it is missing is never remembered.

local call = require "host.keycloak_call"
local token = require "host.token"

local M = {}

local KEEP_S = 60
local KEEP_MAX = 1000 -- names may come out of events; then all are forgotten and start again

local kept, count = {}, 0

local function key_of(api, kind, name)
    return table.concat({ api.url, api.realm, kind, name }, "\n")
end

local function recall(key)
    local entry = kept[key]
    if entry and token.clock() < entry.till then return entry.value end
    return nil
end

local function keep(key, value)
    if count >= KEEP_MAX then kept, count = {}, 0 end
    if kept[key] == nil then count = count + 1 end
    kept[key] = { value = value, till = token.clock() + KEEP_S }
    return value
end

--- Forgets a name: a server has just answered that it is not what we thought.
-- @param kind "group", "role", "client" or "organization"
function M.forget(api, kind, name)
    local key = key_of(api, kind, name)
    if kept[key] ~= nil then kept[key], count = nil, count - 1 end
end

--- The group of a path.
-- @param path "/customers/new"; the leading "/" may be missing
-- @return the group {id, name, path, …}, or nil if there is none
function M.group(api, path)
    if type(path) ~= "string" or not path:find("[^/]") then
        call.fail { kind = "usage", message = "Keycloak: a group is named by its path, such as"
            .. " \"/customers\"; found " .. tostring(path) }
    end
    local key = key_of(api, "group", path)
    local group = recall(key)
    if group then return group end
    local segments = { "group-by-path" }
    for segment in path:gmatch("[^/]+") do segments[#segments + 1] = segment end
    local answer, found = call.send(api, "GET", segments, { absent = "Group path does not exist" })
    return answer.status == 200 and keep(key, found) or nil
end

local function check_name(name, rule)
    if type(name) ~= "string" or name == "" then
        call.fail { kind = "usage",
            message = ("Keycloak: %s; found %s"):format(rule, tostring(name)) }
    end
end

--- The realm role of a name.
-- @return the role {id, name, …}, or nil if there is none
function M.role(api, name)
    check_name(name, "a realm role is named by a string")
    local key = key_of(api, "role", name)
    local role = recall(key)
    if role then return role end
    local answer, found = call.send(api, "GET", { "roles", name },
        { absent = "Could not find role" })
    return answer.status == 200 and keep(key, found) or nil
end

-- Names of two parts, of which neither has a line break.
local function role_key(client, name) return client .. "\n" .. name end

--- The client of a client id.
-- @return the client {id, clientId, …}, or nil if there is none
function M.client(api, client_id)
    check_name(client_id, "a client is named by its client id")
    local key = key_of(api, "client", client_id)
    local client = recall(key)
    if client then return client end
    local _, list = call.send(api, "GET", { "clients" }, { query = { clientId = client_id } })
    for _, one in ipairs(list or {}) do
        if one.clientId == client_id then
            return keep(key, { id = one.id, clientId = client_id }) -- it comes with its secret
        end
    end
    return nil
end

--- The role of a client.
-- @param client_id the client's own id, "shop"
-- @return the role {id, name, client_uuid, …}, or nil if there is none
-- @raise keycloak, retryable, if there is no such client
function M.client_role(api, client_id, name)
    check_name(name, "a client role is named by a string")
    local client = M.existing_client(api, client_id)
    local key = key_of(api, "role", role_key(client_id, name))
    local role = recall(key)
    if role then return role end
    local answer, found = call.send(api, "GET", { "clients", client.id, "roles", name },
        { absent = "Could not find role" })
    if answer.status ~= 200 then return nil end
    found.client_uuid = client.id
    return keep(key, found)
end

--- Forgets a client's role, and the client: either may have been made anew.
function M.forget_client_role(api, client_id, name)
    M.forget(api, "role", role_key(client_id, name))
    M.forget(api, "client", client_id)
end

--- The organization with exactly this name or domain.
-- @return the organization {id, name, alias, …}, or nil if there is none
function M.organization(api, name)
    if type(name) ~= "string" or name == "" then
        call.fail { kind = "usage", message = "Keycloak: an organization is named by its name or a"
            .. " domain; found " .. tostring(name) }
    end
    local key = key_of(api, "organization", name)
    local one = recall(key)
    if one then return one end
    local _, list = call.send(api, "GET", { "organizations" },
        { query = { search = name, exact = true } })
    return list and list[1] and keep(key, list[1]) or nil
end

local function demand(found, what, name, api)
    if found then return found end
    call.fail { message = ("Keycloak: there is no %s %s in realm %s: make it there, or correct the"
        .. " name in the handler"):format(what, name, api.realm) }
end

--- The group of a path, which has to exist.
-- @raise keycloak (retryable) with the path
function M.existing_group(api, path)
    return demand(M.group(api, path), "group", path, api)
end

--- The realm role of a name, which has to exist.
-- @raise keycloak (retryable) with the name
function M.existing_role(api, name)
    return demand(M.role(api, name), "realm role", name, api)
end

--- The client of a client id, which has to exist.
-- @raise keycloak (retryable) with the client id
function M.existing_client(api, client_id)
    return demand(M.client(api, client_id), "client", client_id, api)
end

--- The role of a client, which has to exist.
-- @raise keycloak (retryable) with the names
function M.existing_client_role(api, client_id, name)
    return demand(M.client_role(api, client_id, name), "role of client " .. tostring(client_id),
        name, api)
end

--- The organization of a name or domain, which has to exist.
-- @raise keycloak (retryable) with the name
function M.existing_organization(api, name)
    return demand(M.organization(api, name), "organization", name, api)
end

--- Does the realm take the e-mail for the user name? Any administrative role is enough to see it.
-- @return true or false; nil if the service account may not see it
function M.email_is_username(api)
    local key = key_of(api, "realm", "")
    local seen = recall(key)
    if not seen then
        local answer, realm = call.send(api, "GET", "", { expect = { 403 } })
        seen = { value = answer.status == 200 and realm.registrationEmailAsUsername }
        if answer.status == 403 then seen.value = nil end
        keep(key, seen)
    end
    return seen.value
end

return M
