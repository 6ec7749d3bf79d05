--- Keycloak in memory for host.test: the stand-in of the sandbox, asked without a network.
--
-- Each case starts with an empty realm: no groups, no roles but Keycloak's own, no users.

local server = require "host.test_server"
local standin = require "sandbox.keycloak"
local token = require "host.token"
local url = require "host.url"
local users = require "sandbox.keycloak_users"

local M = {}

local SERVICE_ROLES = { "manage-users", "view-users", "query-users", "view-realm", "view-clients",
    "manage-organizations" }

local servers, settings -- made when they are first needed: a test may never call Keycloak
local assuming = false
local never = { fire = function() end }

local function config()
    return token.config()
end

-- "/a/b" → the nested groups of a realm export.
local function group_tree(paths)
    local top, known = {}, {}
    for _, path in ipairs(paths or {}) do
        local list, at = top, ""
        for name in path:gmatch("[^/]+") do
            at = at .. "/" .. name
            if not known[at] then
                known[at] = { name = name, subGroups = {} }
                list[#list + 1] = known[at]
            end
            list = known[at].subGroups
        end
    end
    return top
end

local function role_list(names)
    local list = {}
    for i, name in ipairs(names or {}) do list[i] = { name = name } end
    return list
end

-- The clients of `given.client_roles`, client id → names, as an export has them.
local function clients_of(given)
    local clients, roles = { { clientId = "test", secret = "test", enabled = true,
        serviceAccountsEnabled = true } }, {}
    for id, names in pairs(given.client_roles or {}) do
        clients[#clients + 1], roles[id] = { clientId = id }, role_list(names)
    end
    return clients, roles
end

local function realm_export(name, given)
    local clients, client_roles = clients_of(given)
    return {
        realm = name, enabled = true, registrationEmailAsUsername = given.email_as_username,
        groups = group_tree(given.groups), clients = clients,
        roles = { realm = role_list(given.roles), client = client_roles },
        organizationsEnabled = true, organizations = role_list(given.organizations),
        smtpServer = { host = "mail.test" },
        users = { { username = "service-account-test", enabled = true,
            serviceAccountClientId = "test",
            clientRoles = { ["realm-management"] = SERVICE_ROLES } } },
    }
end

local function start(given)
    local name = config().realm
    servers = standin.new { realms = { realm_export(name, given) }, now = os.time,
        faults = never }
    local realm = servers.realms[name]
    servers.tokens[M.TOKEN] = { realm = realm, client = realm.clients.test, till = math.huge }
    return servers
end

local function realm()
    return (servers or start(settings or {})).realms[config().realm]
end

--- The stand-in's realm, for who fills it.
M.realm = realm

--- The token that handlers get in tests (ops/rehearsal.c).
M.TOKEN = "rehearsal"

--- The public part: t.keycloak.
M.api = {}

--- Sets up the realm; before the handler runs.
-- @param given groups (paths: "/customers"), roles (names of realm roles), client_roles (client id
--   → names), organizations (names), email_as_username
-- @raise contract when something of it was used already
function M.api.realm(given)
    if servers then error("t.keycloak.realm comes before anything that uses Keycloak", 0) end
    settings = given
end

--- Adds a user that was there before.
-- @param rep a UserRepresentation: username, email, groups (paths), realmRoles (names) …
-- @return the user, as t.keycloak.user gives it
function M.api.add(rep)
    local r = realm()
    local user = r.users:insert(r.users:build(rep))
    for _, path in ipairs(rep.groups or {}) do
        if not r.group_at[path] then error(("the realm has no group %q"):format(path), 0) end
        users.join(user, r.group_at[path])
    end
    for _, name in ipairs(rep.realmRoles or {}) do
        if not r.roles[name] then error(("the realm has no role %q"):format(name), 0) end
        user.roles[name] = true
    end
    return M.api.user(user.username)
end

local function sorted(set, name_of)
    local list = {}
    for key, value in pairs(set) do list[#list + 1] = name_of(key, value) end
    table.sort(list)
    return list
end

-- These two only where there are any.
local function client_roles_of(user)
    local found
    for id, client in pairs(realm().clients) do
        local names = sorted(user.client_roles[client.id] or {}, function(name) return name end)
        if names[1] then
            found = found or {}
            found[id] = names
        end
    end
    return found
end

local function organizations_of(user)
    local list = {}
    for _, org in pairs(realm().organizations) do
        if org.members[user.id] then list[#list + 1] = org.name end
    end
    table.sort(list)
    return list[1] and list or nil
end

local function view(user, default_role)
    local roles = {}
    for name in pairs(user.roles) do
        if name ~= default_role then roles[name] = true end
    end
    return {
        id = user.id, username = user.username, email = user.email, firstName = user.firstName,
        lastName = user.lastName, enabled = user.enabled, emailVerified = user.emailVerified,
        attributes = user.attributes, createdTimestamp = user.createdTimestamp,
        groups = sorted(user.groups, function(_, group) return group.path end),
        realmRoles = sorted(roles, function(name) return name end),
        clientRoles = client_roles_of(user), organizations = organizations_of(user),
    }
end

--- The user of that name, or nil.
-- @param username folded as Keycloak does
-- @return { id, username, email, firstName, lastName, enabled, emailVerified, attributes, groups
--   (paths, sorted), realmRoles (names, sorted, without the default role), clientRoles (client id
--   → names) and organizations (names) if there are any }
function M.api.user(username)
    local r = realm()
    local user = r.users.by_name[username:lower()]
    return user and view(user, r.default_role)
end

--- The mails that Keycloak was asked to send, in order.
-- @return a list of { to = the address, actions = a list: "UPDATE_PASSWORD"; empty for
--   users.verify_email }
function M.api.mails()
    return realm().mails
end

--- All users, sorted by their names; without the service account.
-- @return a list of what t.keycloak.user gives
function M.api.users()
    local r, list = realm(), {}
    for _, user in ipairs(r.users:all()) do
        if not user.service_account then list[#list + 1] = view(user, r.default_role) end
    end
    return list
end

--- Each case starts with an empty realm.
function M.reset()
    servers, settings, assuming = nil, nil, false
end

--- From now on groups, roles, clients and organizations that a handler asks for are there: a dry
-- run cannot know better.
function M.assume()
    assuming = true
end

-- True if something was made that the request asks for.
local function made_up(r, path, query)
    local rest = path:match("^/admin/realms/[^/]+(/.*)$") or ""
    local client, client_role = rest:match("^/clients/([^/]+)/roles/([^/]+)$")
    client = client and r.client_by_id[client]
    if rest == "/clients" and query.clientId and not r.clients[query.clientId] then
        standin.add_client(r, { clientId = query.clientId })
        return true
    elseif client and not client.own[client_role] then
        standin.add_client(r, { clientId = client.name }, { { name = client_role } })
        return true
    elseif rest == "/organizations" and query.search and not next(r.organizations) then
        standin.add_organization(r, { name = query.search })
        return true
    end
    local group = rest:match("^/group%-by%-path(/.+)$")
    local role = rest:match("^/roles/([^/]+)$")
    if group and not r.group_at[group] then
        standin.add_groups(r, group_tree { group })
    elseif role and not r.roles[role] then
        standin.add_role(r, { name = role })
    else
        return false
    end
    return true
end

local function decode(text)
    return url.unescape((text:gsub("+", " ")))
end

local function query_of(text)
    local query = {}
    for name, value in text:gmatch("([^&=]+)=([^&]*)") do query[decode(name)] = decode(value) end
    return query
end

--- Answers a request if it goes to Keycloak.
-- @param request as the handler sent it
-- @return { status, head, body }, and whether it is about something assumed; nil: it goes elsewhere
function M.answer(request)
    local base = config().url
    local address, query = request.url:match("^([^?]*)%??(.*)$")
    if address:sub(1, #base + 1) ~= base .. "/" then return nil end
    local path = decode(address:sub(#base + 1))
    local fields = query_of(query)
    local assumed = assuming and made_up(realm(), path, fields)
    realm()
    local status, headers, body = servers:handle {
        method = request.method, path = path, query = fields,
        headers = request.headers, body = request.body or "", operation = request.method,
    }
    return server.raw { status = status, headers = headers, body = body }, assumed
end

return M
