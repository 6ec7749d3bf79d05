--- Keycloak in a dry run: the stand-in in memory, filled on demand by reads from the real one.
--
-- Until the handler has written something, its reads are answered by the real Keycloak, word for
-- word. A write is answered in memory, by what was read before and for it; from then on so are the
-- reads of what is kept there.

local json = require "host.json"
local keycloak = require "host.test_keycloak"
local server = require "host.test_server"
local stage = require "host.stage"
local standin = require "sandbox.keycloak"
local token = require "host.token"
local url = require "host.url"
local users = require "sandbox.keycloak_users"

local M = {}

local reading, wrote = false, false
local why_not -- words, once it could not be read
local known = {} -- what has been read: "users/ID", "users/ID/groups", …
local gone = {} -- ids of users that this run has deleted

local function base()
    local config = token.config()
    return config.url:gsub("/+$", "") .. "/admin/realms/" .. url.escape(config.realm)
end

-- ---- what an answer tells

local function learn_user(r, rep)
    if type(rep) ~= "table" or not rep.id or not rep.username or gone[rep.id]
        or r.users.by_id[rep.id] then
        return
    end
    local user = r.users:build(rep)
    user.id, user.username, user.attributes = rep.id, rep.username, rep.attributes
    r.users:insert(user)
end

-- Those above it get ids of their own until they are read.
local function learn_group(r, rep)
    if type(rep) ~= "table" or type(rep.path) ~= "string" then return end
    local path, parent = "", nil
    for name in rep.path:gmatch("[^/]+") do
        path = path .. "/" .. name
        if not r.group_at[path] then standin.add_groups(r, { { name = name } }, parent) end
        parent = r.group_at[path]
    end
    if parent and parent.id ~= rep.id then
        r.groups[parent.id], r.groups[rep.id] = nil, parent
        parent.id = rep.id
    end
end

local function learn_role(r, rep)
    if type(rep) == "table" and rep.name and not r.roles[rep.name] then standin.add_role(r, rep) end
end

local function learn_client(r, rep)
    if type(rep) == "table" and rep.id and rep.clientId and not r.client_by_id[rep.id] then
        standin.add_client(r, { id = rep.id, clientId = rep.clientId })
    end
end

local function learn_client_role(r, client, rep)
    if type(rep) == "table" and rep.name and not client.own[rep.name] then
        standin.add_client(r, { clientId = client.name }, { rep })
    end
end

local function learn_organization(r, rep)
    if type(rep) == "table" and rep.id and not r.organizations[rep.id] then
        standin.add_organization(r, rep)
    end
end

local function learn_realm(r, rep)
    if type(rep) ~= "table" or rep.registrationEmailAsUsername == nil then return end
    r.organizations_enabled = true -- what is switched off is refused when it is read
    r.email_as_username = rep.registrationEmailAsUsername == true
    r.users.options.email_as_username = r.email_as_username
end

local function each(list, learn, r)
    for _, one in ipairs(type(list) == "table" and list or {}) do learn(r, one) end
end

local function learn_memberships(r, id, list)
    local user = r.users.by_id[id]
    each(list, learn_group, r)
    for _, group in ipairs(user and list or {}) do
        if r.group_at[group.path] then users.join(user, r.group_at[group.path]) end
    end
end

local function learn_mappings(r, id, list)
    local user = r.users.by_id[id]
    each(list, learn_role, r)
    for _, role in ipairs(user and list or {}) do user.roles[role.name] = true end
end

local function learn_client_mappings(r, id, client, list)
    local user = r.users.by_id[id]
    if not user or not client then return end
    local has = user.client_roles[client.id] or {}
    user.client_roles[client.id] = has
    for _, role in ipairs(type(list) == "table" and list or {}) do
        learn_client_role(r, client, role)
        has[role.name] = true
    end
end

-- `path` is what follows the realm, "/users/ID/groups".
local function learn(r, path, value)
    local id, rest = path:match("^/users/([^/]+)(.*)$")
    if path == "" then learn_realm(r, value)
    elseif path == "/clients" then each(value, learn_client, r)
    elseif path == "/organizations" then each(value, learn_organization, r)
    elseif path == "/users" then each(value, learn_user, r)
    elseif id and rest == "" then learn_user(r, value)
    elseif rest == "/groups" then learn_memberships(r, id, value)
    elseif rest == "/role-mappings/realm" then learn_mappings(r, id, value)
    elseif rest and rest:find("^/role%-mappings/clients/[^/]+$") then
        learn_client_mappings(r, id, r.client_by_id[rest:match("[^/]+$")], value)
    elseif path:find("^/clients/[^/]+/roles/[^/]+$") then
        local client = r.client_by_id[path:match("^/clients/([^/]+)")]
        if client then learn_client_role(r, client, value) end
    elseif path:find("^/organizations/[^/]+$") then learn_organization(r, value)
    elseif path:find("^/organizations/[^/]+/members/[^/]+$") then
        local org = r.organizations[path:match("^/organizations/([^/]+)")]
        learn_user(r, value)
        if org and value.id then org.members[value.id] = r.users.by_id[value.id] end
    elseif path:find("^/group%-by%-path/") then learn_group(r, value)
    elseif path:find("^/groups/[^/]+$") then learn_group(r, value)
    elseif path:find("^/roles/[^/]+$") then learn_role(r, value)
    end
end

-- ---- reading

-- Where it cannot be read, the run goes on as without one, and says so.
local function give_up(words)
    reading, why_not = false, words
    keycloak.assume()
end

-- The real answer { status, head, body }, or nil.
local function read(address, path)
    if not reading then return nil end
    local status, body = stage.read(address)
    if not status then
        give_up(body)
        return nil
    end
    if status == 200 then
        local ok, value = pcall(json.decode, body)
        if ok then learn(keycloak.realm(), path, value) end
    end
    return server.raw { status = status, body = body, headers = { ["Content-Type"] =
        "application/json" } }
end

local function read_once(path, query)
    local key = path .. "?" .. (query or "")
    if known[key] then return end
    known[key] = true
    read(base() .. path .. (query and "?" .. query or ""), path)
end

local function exact(name, value)
    if type(value) ~= "string" or value == "" then return end
    read_once("/users", url.query { exact = "true", [name] = value })
end

-- What a write has to be answered by.
local function prepare(method, path, body)
    local ok, rep = pcall(json.decode, body or "")
    if method == "POST" and path == "/users" and ok and type(rep) == "table" then
        exact("username", rep.username)
        exact("email", rep.email)
    end
    local org = path:match("^/organizations/([^/]+)/members")
    local id = path:match("^/users/([^/]+)")
        or org and (path:match("/members/([^/]+)$") or ok and type(rep) == "string" and rep)
    if not id then return end
    if not gone[id] and not keycloak.realm().users.by_id[id] then
        read_once("/users/" .. id)
        read_once("/users/" .. id .. "/groups")
        read_once("/users/" .. id .. "/role-mappings/realm")
    end
    if org then
        read_once("/organizations/" .. org)
        read_once("/organizations/" .. org .. "/members/" .. id)
    end
    local client = path:match("/role%-mappings/clients/([^/]+)$")
    if client then read_once("/users/" .. id .. "/role-mappings/clients/" .. client) end
    local group = path:match("^/users/[^/]+/groups/([^/]+)$")
    if group and not keycloak.realm().groups[group] then read_once("/groups/" .. group) end
    if ok and type(rep) == "table" and (rep.email or rep.username) then
        exact("username", rep.username)
        exact("email", rep.email)
    end
end

-- ---- answering

local function is_unknown(answer)
    return answer.status == 404 and (answer.body or ""):find("HTTP 404 Not Found", 1, true) ~= nil
end

local function by_reading(request, path)
    if request.method == "GET" or request.method == "HEAD" then
        local real = read(request.url, path)
        if real and (not wrote or real.status ~= 200 and real.status ~= 404) then
            return real, "read from Keycloak"
        end
        return nil, nil, real
    end
    prepare(request.method, path, request.body)
    return nil
end

--- From now on Keycloak is read where there is one to read from.
-- @param reads true if there is
function M.start(reads)
    reading = reads
    if not reads then keycloak.assume() end
end

--- Why the configured Keycloak could not be read, or nil.
function M.trouble() return why_not end

--- Answers a request if it goes to Keycloak.
-- @param request as the handler sent it
-- @return { status, head, body }; nil: it goes elsewhere, or there is no telling
-- @return who answered, in words
function M.answer(request)
    local address = request.url:match("^[^?]*")
    local path = address:sub(1, #base()) == base() and address:sub(#base() + 1) or nil
    if path and reading then read_once("") end
    local given, by, real
    if path and reading then given, by, real = by_reading(request, path) end
    if given then return given, by end
    local answer, assumed = keycloak.answer(request)
    if not answer then return nil end
    local writes = request.method ~= "GET" and request.method ~= "HEAD"
    if is_unknown(answer) or not path then
        if real then return real, "read from Keycloak" end
        if not path and not writes then real = read(request.url, "elsewhere") end
        if real then return real, "read from Keycloak" end
        return nil
    end
    if writes then wrote = true end
    local id = request.method == "DELETE" and path:match("^/users/([^/]+)$")
    if id then gone[id] = true end
    return answer, assumed and "Keycloak in memory: assumed to exist" or "Keycloak in memory"
end

return M
