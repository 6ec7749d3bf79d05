--- A stand-in for Keycloak: token endpoint, users, groups, roles and organizations, in memory.
--
--     local kc = require("sandbox.keycloak").new { realms = { realm_export }, now = clock }
--     local status, headers, body = kc:handle { method = "GET", path = "/realms/demo", query = {},
--                                               headers = {}, body = "" }
--
-- Statuses, headers and texts are those of Keycloak 26.7.4 as measured; tests/e2e runs the same
-- cases against both. A realm is given as Keycloak exports it, as far as it matters here: realm,
-- registrationEmailAsUsername, groups (nested subGroups), roles.realm, roles.client, clients,
-- users, organizations, smtpServer (with one, mail is "sent"). What a
-- client may do follows from the clientRoles of its service account, as on the real server.

local admin = require "sandbox.keycloak_admin"
local answer = require "sandbox.keycloak_answer"
local token = require "sandbox.keycloak_token"
local users = require "sandbox.keycloak_users"

local M = {}
M.__index = M

--- Adds groups to a realm.
-- @param list as an export has them, nested in subGroups
-- @param parent the group that they are below; nil: none
function M.add_groups(realm, list, parent)
    for _, g in ipairs(list or {}) do
        local group = { id = g.id or users.uuid(), name = g.name, parent = parent, children = {},
            members = {}, path = (parent and parent.path or "") .. "/" .. g.name }
        realm.groups[group.id], realm.group_at[group.path] = group, group
        table.insert(parent and parent.children or realm.top, group)
        M.add_groups(realm, g.subGroups, group)
    end
end

--- Adds a realm role.
-- @param role { name, id, composite, description }
function M.add_role(realm, role)
    local id = role.id or users.uuid()
    realm.roles[role.name] = { id = id, name = role.name, composite = role.composite or false,
        description = role.description }
end

--- Adds a client.
-- @param c { clientId, id, secret, enabled, serviceAccountsEnabled }
-- @param roles of it: a list of { name, id }
-- @return the client
function M.add_client(realm, c, roles)
    local client = realm.clients[c.clientId] or { id = c.id or users.uuid(), name = c.clientId,
        secret = c.secret, enabled = c.enabled ~= false,
        service_account = c.serviceAccountsEnabled == true, roles = {}, realm_roles = {}, own = {} }
    realm.clients[c.clientId], realm.client_by_id[client.id] = client, client
    for _, role in ipairs(roles or {}) do
        client.own[role.name] = { id = role.id or users.uuid(), name = role.name,
            description = role.description, composite = role.composite or false }
    end
    return client
end

--- Adds an organization.
-- @param org { name, id, alias, domains = a list of { name } }
-- @return the organization
function M.add_organization(realm, org)
    local one = { id = org.id or users.uuid(), name = org.name, alias = org.alias or org.name,
        domains = org.domains or {}, members = {} }
    realm.organizations[one.id] = one
    return one
end

local function add_export_user(realm, rep)
    local user = realm.users:insert(realm.users:build(rep))
    for _, path in ipairs(rep.groups or {}) do users.join(user, realm.group_at[path]) end
    for _, name in ipairs(rep.realmRoles or {}) do user.roles[name] = true end
    if rep.serviceAccountClientId then
        user.service_account = true
        local client = realm.clients[rep.serviceAccountClientId]
        if client then client.roles, client.realm_roles = rep.clientRoles or {}, user.roles end
    else
        user.roles[realm.default_role] = true
    end
end

-- Unmanaged attributes are dropped unless the realm's user profile says otherwise.
local function keeps_attributes(rep)
    local components = rep.components or {}
    for _, c in ipairs(components["org.keycloak.userprofile.UserProfileProvider"] or {}) do
        local text = ((c.config or {})["kc.user.profile.config"] or {})[1] or ""
        local policy = text:match('"unmanagedAttributePolicy"%s*:%s*"(%u[%u_]*)"')
        if policy == "ENABLED" or policy == "ADMIN_EDIT" then return true end
    end
    return false
end

local function new_realm(rep, now)
    local realm = {
        id = rep.id or users.uuid(), name = rep.realm, groups = {}, group_at = {}, top = {},
        roles = {}, clients = {}, client_by_id = {}, organizations = {}, mails = {},
        organizations_enabled = rep.organizationsEnabled == true,
        sends_mail = rep.smtpServer ~= nil and rep.smtpServer.host ~= nil,
        default_role = "default-roles-" .. rep.realm:lower(),
        email_as_username = rep.registrationEmailAsUsername == true,
    }
    realm.users = users.new { now = now, email_as_username = realm.email_as_username,
        edit_username = rep.editUsernameAllowed == true, keep_attributes = keeps_attributes(rep) }
    M.add_role(realm, { name = realm.default_role, composite = true,
        description = "${role_default-roles}" })
    M.add_role(realm, { name = "offline_access", description = "${role_offline-access}" })
    M.add_role(realm, { name = "uma_authorization", description = "${role_uma_authorization}" })
    for _, role in ipairs(rep.roles and rep.roles.realm or {}) do M.add_role(realm, role) end
    M.add_groups(realm, rep.groups, nil)
    local of_clients = rep.roles and rep.roles.client or {}
    for _, c in ipairs(rep.clients or {}) do M.add_client(realm, c, of_clients[c.clientId]) end
    for _, org in ipairs(rep.organizations or {}) do M.add_organization(realm, org) end
    for _, user in ipairs(rep.users or {}) do add_export_user(realm, user) end
    return realm
end

--- A stand-in with the given realms.
-- @param options realms (a list of realm exports), now (seconds, a function), faults (those that
--   may hit inside a call)
function M.new(options)
    local self = setmetatable({ realms = {}, tokens = {}, now = options.now, issued = 0,
        faults = options.faults }, M)
    for _, rep in ipairs(options.realms) do
        self.realms[rep.realm] = new_realm(rep, options.now)
    end
    return self
end

local function public_endpoint(self, req, name, rest)
    local realm = self.realms[name]
    if not realm then return answer.problem(404, "Realm does not exist") end
    local issuer = ("http://%s/realms/%s"):format(req.headers.host or "localhost", name)
    local oidc = issuer .. "/protocol/openid-connect"
    if rest == "/protocol/openid-connect/token" then return token.endpoint(self, realm, req) end
    if rest == "" or rest == "/" then
        return answer.found { realm = name, ["token-service"] = oidc, ["tokens-not-before"] = 0,
            ["account-service"] = issuer .. "/account" }
    elseif rest == "/.well-known/openid-configuration" then
        return answer.found { issuer = issuer, token_endpoint = oidc .. "/token" }
    end
    return answer.problem(404, answer.NOT_FOUND)
end

local function admin_endpoint(self, req, name, rest)
    local text = (req.headers.authorization or ""):match("^[Bb][Ee][Aa][Rr][Ee][Rr]%s+(.+)$")
    local bearer = text and self.tokens[text]
    if not bearer or bearer.till <= self.now() then
        return answer.problem(401, "HTTP 401 Unauthorized")
    end
    local realm = self.realms[name]
    if not realm then return answer.problem(404, "Realm not found.") end
    return admin.call(realm, token.may(bearer, realm), req, rest)
end

--- Makes every token invalid that was issued until now.
function M:revoke()
    self.tokens = {}
end

--- Answers one request.
-- @param req method, path (decoded), query (name → decoded value), headers (lower-case names), body
-- @return status, headers (lower-case name → value), body
function M:handle(req)
    if req.path:find("//", 1, true) then
        local status, headers, body = answer.problem(400, "missingNormalization",
            "Request path not normalized")
        headers["content-type"] = "application/json; charset=UTF-8"
        return status, headers, body
    end
    local realm, rest = req.path:match("^/admin/realms/([^/]+)(.*)$")
    if realm then return admin_endpoint(self, req, realm, rest) end
    realm, rest = req.path:match("^/realms/([^/]+)(.*)$")
    if realm then return public_endpoint(self, req, realm, rest) end
    return answer.problem(404, "Unable to find matching target resource method")
end

return M
