--- Clients of the Keycloak stand-in, their roles, and which of those a user has. Calls are as in
-- sandbox.keycloak_admin.

local answer = require "sandbox.keycloak_answer"
local json = require "host.json"
local view = require "sandbox.keycloak_view"

local UNREADABLE = "Cannot parse the JSON"

local function list_clients(c)
    if not c.may.clients then return answer.forbidden() end
    local list = {}
    for _, client in ipairs(view.sorted(c.realm.clients, "name")) do
        if not c.query.clientId or client.name == c.query.clientId then list[#list + 1] = client end
    end
    return view.page(c.query, list, -1, function(client)
        return { id = client.id, clientId = client.name, enabled = client.enabled,
            serviceAccountsEnabled = client.service_account, protocol = "openid-connect" }
    end)
end

local function client_role_view(client, role, whole)
    return { id = role.id, name = role.name, description = role.description,
        composite = role.composite, clientRole = true, containerId = client.id,
        attributes = whole and json.object {} or nil }
end

local function client_roles(c)
    local client = c.realm.client_by_id[c.part[2]]
    if not c.may.clients then return answer.forbidden() end
    if not client then return answer.problem(404, "Could not find client") end
    if not c.part[4] then
        return view.page(c.query, view.sorted(client.own, "name"), -1, function(role)
            return client_role_view(client, role)
        end)
    end
    local role = client.own[c.part[4]]
    if not role then return answer.problem(404, "Could not find role") end
    return answer.found(client_role_view(client, role, true))
end

local function user_client_roles(c)
    if not c.may.view then return answer.forbidden() end
    local client, list = c.realm.client_by_id[c.part[5]], json.array {}
    if not client then return answer.problem(404, "Client not found") end
    for _, role in ipairs(view.sorted(client.own, "name")) do
        if (c.user.client_roles[client.id] or {})[role.name] then
            list[#list + 1] = client_role_view(client, role)
        end
    end
    return answer.found(list)
end

local function change_client_roles(c)
    local ok, list = pcall(json.decode, c.req.body or "")
    if not ok or type(list) ~= "table" then
        return answer.problem(400, "unknown_error", UNREADABLE)
    end
    if not c.may.manage then return answer.forbidden() end
    local client = c.realm.client_by_id[c.part[5]]
    if not client then return answer.problem(404, "Client not found") end
    for _, given in ipairs(list) do
        local role = type(given) == "table" and client.own[given.name]
        if not role or role.id ~= given.id then return answer.problem(404, "Role not found") end
    end
    local has = c.user.client_roles[client.id] or {}
    c.user.client_roles[client.id] = has
    for _, given in ipairs(list) do has[given.name] = c.req.method == "POST" or nil end
    return answer.done()
end

return {
    ["clients"] = { GET = list_clients },
    ["clients/*/roles"] = { GET = client_roles },
    ["clients/*/roles/*"] = { GET = client_roles },
    ["users/*/role-mappings/clients/*"] = { GET = user_client_roles, POST = change_client_roles,
        DELETE = change_client_roles },
}
