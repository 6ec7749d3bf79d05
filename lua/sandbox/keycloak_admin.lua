--- The Admin REST calls of the Keycloak stand-in, one function each, and the table of them.
--
-- A call gets c: req, query, part (the path's words below the realm), realm, user (of a path
-- /users/{id}/…) and may (what the token allows), and returns status, headers, body.

local json = require "host.json"
local answer = require "sandbox.keycloak_answer"
local users = require "sandbox.keycloak_users"
local views = require "sandbox.keycloak_view"

local user_view, group_view, role_view = views.user_view, views.group_view, views.role_view
local sorted, page = views.sorted, views.page

local M = {}

local UNREADABLE = "Cannot parse the JSON"
local FIELDS = {} -- members of a UserRepresentation → the type that Keycloak's reader asks for
for name in ("id self origin username email firstName lastName federationLink"
    .. " serviceAccountClientId"):gmatch("%S+") do FIELDS[name] = "text" end
for name in ("enabled emailVerified totp"):gmatch("%S+") do FIELDS[name] = "boolean" end
for name in ("createdTimestamp notBefore"):gmatch("%S+") do FIELDS[name] = "number" end
for name in ("groups realmRoles requiredActions disableableCredentialTypes credentials"
    .. " federatedIdentities clientConsents"):gmatch("%S+") do FIELDS[name] = "list" end
for name in ("attributes clientRoles applicationRoles socialLinks access"
    .. " userProfileMetadata"):gmatch("%S+") do FIELDS[name] = "any" end

-- Bodies.

local function wrong_type(kind, value)
    if value == json.null or kind == "any" then return false end
    if kind == "list" then return type(value) ~= "table" or next(value) ~= nil and #value == 0 end
    if type(value) == "table" then return true end
    if kind == "boolean" then
        return type(value) == "string" and value ~= "true" and value ~= "false" and value ~= ""
            or math.type(value) == "float"
    end
    return kind == "number" and type(value) ~= "number" and not tonumber(value)
end

-- Keycloak names the first unknown member and the place just inside its value.
local function unknown_member(body, rep)
    local first, name
    for member in pairs(rep) do
        if not FIELDS[member] then
            local quoted = '"' .. tostring(member):gsub("%p", "%%%0") .. '"%s*:%s*()'
            local at = tonumber(body:match(quoted)) or 1
            if not first or at < first then first, name = at, member end
        end
    end
    if not name then return nil end
    local before = body:sub(1, first - 1)
    local _, lines = before:gsub("\n", "")
    local column = first - (before:match(".*()\n") or 0) + 1
    return ('Invalid json representation for UserRepresentation. Unrecognized field "%s" at line %d'
        .. " column %d."):format(name, lines + 1, column)
end

-- A user's representation, or nil and an answer. Read before rights are looked at.
local function read_user(req)
    local kind = req.headers["content-type"]
    if kind and not kind:lower():find("^application/json%s*;?") or kind and kind:find("json%+") then
        return nil, answer.problem(415,
            "The content-type header value did not match the value in @Consumes")
    end
    local body = req.body or ""
    if not body:find("%S") or body:find("^%s*null%s*$") then
        return nil, answer.unknown()
    end
    local ok, rep = pcall(json.decode, body)
    if not ok then return nil, answer.problem(400, "invalid_request", UNREADABLE) end
    if type(rep) ~= "table" or body:find("^%s*%[") then
        return nil, answer.problem(400, "unknown_error", UNREADABLE)
    end
    local unknown = unknown_member(body, rep)
    if unknown then return nil, answer.problem(400, unknown) end
    for name, value in pairs(rep) do
        if wrong_type(FIELDS[name], value) then
            return nil, answer.problem(400, "unknown_error", UNREADABLE)
        end
    end
    return rep
end

-- Users.

local function list_users(c)
    if not c.may.query then return answer.forbidden() end
    local how = { listed = true, brief = c.query.briefRepresentation == "true" }
    local list = c.may.view and c.realm.users:select(c.query) or {}
    return page(c.query, list, 100, function(user) return user_view(user, c.may, how) end)
end

local function count_users(c)
    if not c.may.query then return answer.forbidden() end
    return answer.found(#c.realm.users:select(c.query))
end

-- What of a user is kept.
local function user_profile(c)
    if not c.may.query and not c.may.realm then return answer.forbidden() end
    local list, all = {}, json.array { "admin", "user" }
    for i, name in ipairs { "username", "email", "firstName", "lastName" } do
        list[i] = { name = name, displayName = "${" .. name .. "}", multivalued = false,
            permissions = { view = all, edit = all } }
    end
    return answer.found { attributes = json.array(list),
        unmanagedAttributePolicy = c.realm.users.options.keep_attributes and "ADMIN_EDIT" or nil }
end

local function create_user(c)
    local rep, status, headers, body = read_user(c.req)
    if not rep then return status, headers, body end
    if not c.may.manage then return answer.forbidden() end
    local user, refused = c.realm.users:check_new(rep)
    if not user then return answer.plain(refused[1], refused[2]) end
    local joined = {}
    for _, path in ipairs(type(rep.groups) == "table" and rep.groups or {}) do
        path = type(path) == "string" and "/" .. path:gsub("^/", ""):gsub("/$", "") or ""
        if not c.realm.group_at[path] then return answer.unknown() end
        joined[#joined + 1] = c.realm.group_at[path]
    end
    user.roles[c.realm.default_role] = true
    c.realm.users:insert(user)
    for _, group in ipairs(joined) do users.join(user, group) end
    return 201, { location = ("http://%s/admin/realms/%s/users/%s"):format(
        c.req.headers.host or "localhost", c.realm.name, user.id) }, ""
end

local function get_user(c)
    if not c.may.view then return answer.forbidden() end
    return answer.found(user_view(c.user, c.may, { single = true }))
end

local function put_user(c)
    if not (c.req.body or ""):find("%S") then
        if not c.may.manage then return answer.forbidden() end
        return answer.plain(400, { errorMessage = "Could not update user!" })
    end
    local rep, status, headers, body = read_user(c.req)
    if not rep then return status, headers, body end
    if not c.may.manage then return answer.forbidden() end
    local refused = c.realm.users:change(c.user, rep)
    if refused then return answer.plain(refused[1], refused[2]) end
    return answer.done()
end

local function delete_user(c)
    if not c.may.manage then return answer.forbidden() end
    for _, group in pairs(c.user.groups) do group.members[c.user.id] = nil end
    c.realm.users:remove(c.user)
    return answer.done { ["cache-control"] = "no-cache" }
end

-- Membership.

local function user_groups(c)
    if not c.may.view then return answer.forbidden() end
    local list = {}
    for _, group in ipairs(sorted(c.user.groups, "name")) do
        if not c.query.search or group.name:find(c.query.search, 1, true) then
            list[#list + 1] = group
        end
    end
    local how = { brief = c.query.briefRepresentation ~= "false" }
    return page(c.query, list, -1, function(group) return group_view(group, c.may, how) end)
end

local function count_user_groups(c)
    if not c.may.view then return answer.forbidden() end
    return answer.found { count = #sorted(c.user.groups, "name") }
end

local function change_membership(c)
    if not c.may.manage then return answer.forbidden() end
    local group = c.realm.groups[c.part[4]]
    if not group then return answer.problem(404, "Group not found") end
    if c.req.method == "PUT" then
        users.join(c.user, group)
    else
        c.user.groups[group.id], group.members[c.user.id] = nil, nil
    end
    return answer.done { ["cache-control"] = "no-cache" }
end

-- Role mappings.

local function mapped(c, wanted)
    local list = {}
    for _, role in ipairs(sorted(c.realm.roles, "name")) do
        if (c.user.roles[role.name] or false) == wanted then
            list[#list + 1] = role_view(c.realm, role)
        end
    end
    return json.array(list)
end

local function user_roles(c)
    if not c.may.view then return answer.forbidden() end
    return answer.found(mapped(c, true))
end

-- What else is missing besides view-users empties these two lists; it is not refused.
local function available_roles(c)
    if not c.may.view then return answer.forbidden() end
    return answer.found(c.may.manage and mapped(c, false) or json.array {})
end

local function all_user_roles(c)
    if not c.may.view then return answer.forbidden() end
    return answer.found(json.object { realmMappings = c.may.realm and mapped(c, true) or nil })
end

local function change_roles(c)
    local add, body = c.req.method == "POST", c.req.body or ""
    local empty = not body:find("%S")
    local ok, list = pcall(json.decode, body)
    if not empty and (not ok or type(list) ~= "table" or not body:find("^%s*%[")) then
        return answer.problem(400, "unknown_error", UNREADABLE)
    end
    if not c.may.manage then return answer.forbidden() end
    if empty then
        if add then return answer.unknown() end
        c.user.roles = {}
        return answer.done()
    end
    for _, given in ipairs(list) do
        local role = type(given) == "table" and c.realm.roles[given.name]
        if not role or role.id ~= given.id then return answer.problem(404, "Role not found") end
    end
    for _, given in ipairs(list) do c.user.roles[given.name] = add or nil end
    return answer.done()
end

-- Groups and roles of the realm.

local function list_groups(c)
    if not c.may.groups then return answer.forbidden() end
    local how = { counted = true, access = true,
        brief = (c.query.briefRepresentation or "true") == "true" }
    local flat = c.query.populateHierarchy == "false"
    local function hit(group)
        if c.query.exact == "true" then return group.name == c.query.search end
        return group.name:lower():find(c.query.search:lower(), 1, true) ~= nil
    end
    -- With `search` a group is shown for its own name or for those below it, with only these.
    local function view(group)
        local out, children = group_view(group, c.may, how), json.array {}
        if c.query.search and not flat then
            for _, child in ipairs(sorted(group.children, "name")) do
                local shown = view(child)
                if shown then children[#children + 1] = shown end
            end
            if not hit(group) and #children == 0 then return nil end
        end
        out.subGroups = children
        return out
    end
    local list = {}
    for _, group in ipairs(sorted(flat and c.realm.groups or c.realm.top, "name")) do
        local keep = not c.query.search or flat and hit(group) or not flat and view(group)
        if keep then list[#list + 1] = group end
    end
    return page(c.query, list, -1, view)
end

local function count_groups(c)
    if not c.may.groups then return answer.forbidden() end
    return answer.found { count = #sorted(c.realm.groups, "name") }
end

local function group_by_path(c)
    local group = c.realm.group_at["/" .. table.concat(c.part, "/", 2)]
    if not group then return answer.problem(404, "Group path does not exist") end
    if not c.may.view then return answer.forbidden() end
    return answer.found(group_view(group, c.may, { counted = true }))
end

local function one_group(c)
    local group = c.realm.groups[c.part[2]]
    if not group then return answer.problem(404, "Could not find group by id") end
    if not c.may.view then return answer.forbidden() end
    if not c.part[3] then
        return answer.found(group_view(group, c.may, { counted = true, access = true }))
    elseif c.part[3] == "children" then
        return page(c.query, sorted(group.children, "name"), -1, function(child)
            return group_view(child, c.may, { counted = true, access = true })
        end)
    elseif c.part[3] == "members" then
        local how = { brief = c.query.briefRepresentation == "true" }
        return page(c.query, sorted(group.members, "username"), 100, function(user)
            return user_view(user, c.may, how)
        end)
    end
    return answer.problem(404, answer.NOT_FOUND)
end

local function list_roles(c)
    if not c.may.realm then return answer.forbidden() end
    local list = {}
    for _, role in ipairs(sorted(c.realm.roles, "name")) do
        if not c.query.search or role.name:lower():find(c.query.search:lower(), 1, true) then
            list[#list + 1] = role
        end
    end
    local whole = c.query.briefRepresentation == "false"
    return page(c.query, list, -1, function(role) return role_view(c.realm, role, whole) end)
end

local function one_role(c)
    if not c.may.realm then return answer.forbidden() end
    local role = c.realm.roles[c.part[2]]
    if not role then return answer.problem(404, "Could not find role") end
    if not c.part[3] then return answer.found(role_view(c.realm, role, true)) end
    if c.part[3] ~= "users" then return answer.problem(404, answer.NOT_FOUND) end
    local list, how = {}, { listed = true, brief = c.query.briefRepresentation == "true" }
    for _, user in ipairs(c.realm.users:all()) do
        if user.roles[role.name] then list[#list + 1] = user end
    end
    return page(c.query, list, 100, function(user)
        return user_view(user, c.may, how)
    end)
end

local function show_realm(c)
    if not c.may.any then return answer.forbidden() end
    local view = { realm = c.realm.name, registrationEmailAsUsername = c.realm.email_as_username }
    if c.may.realm then
        view.id, view.enabled = c.realm.id, true
    else
        view.bruteForceProtected, view.organizationsEnabled = false, false
        view.supportedLocales = json.array {}
    end
    return answer.found(view)
end

-- The table of calls: what follows /admin/realms/{realm}, "*" for any one part.
local CALLS = {
    [""] = { GET = show_realm },
    ["users"] = { GET = list_users, POST = create_user },
    ["users/count"] = { GET = count_users },
    ["users/profile"] = { GET = user_profile },
    ["users/*"] = { GET = get_user, PUT = put_user, DELETE = delete_user },
    ["users/*/groups"] = { GET = user_groups },
    ["users/*/groups/count"] = { GET = count_user_groups },
    ["users/*/groups/*"] = { PUT = change_membership, DELETE = change_membership },
    ["users/*/role-mappings"] = { GET = all_user_roles },
    ["users/*/role-mappings/realm"] = { GET = user_roles, POST = change_roles,
        DELETE = change_roles },
    ["users/*/role-mappings/realm/available"] = { GET = available_roles },
    ["groups"] = { GET = list_groups },
    ["groups/count"] = { GET = count_groups },
    ["groups/*"] = { GET = one_group },
    ["groups/*/children"] = { GET = one_group },
    ["groups/*/members"] = { GET = one_group },
    ["roles"] = { GET = list_roles },
    ["roles/*"] = { GET = one_role },
    ["roles/*/users"] = { GET = one_role },
}

for _, name in ipairs { "clients", "mail", "orgs" } do
    for path, methods in pairs(require("sandbox.keycloak_" .. name)) do CALLS[path] = methods end
end

-- "users/1/groups/2" is called "users/*/groups/*"; "count" is not an id.
local function call_name(part)
    local name = {}
    if part[1] == "organizations" and part[2] == "members" then return "organizations/*" end
    if part[1] == "users" and part[2] == "profile" and #part == 2 then return "users/profile" end
    if part[1] == "users" and part[4] == "clients" then
        return #part == 5 and "users/*/role-mappings/clients/*" or ""
    end
    for i, word in ipairs(part) do
        local id = i % 2 == 0 and not (part[1] == "users" and i == 4 and part[3] == "role-mappings")
        name[i] = id and word ~= "count" and "*" or word
    end
    return table.concat(name, "/")
end

-- A user's own calls: whoever may query users learns that there is none, others only "forbidden".
local function missing_user(c)
    local id = c.part[2]
    if c.part[1] ~= "users" or not id or id == "count" or id == "profile" then return nil end
    c.user = c.realm.users.by_id[id]
    if c.user then return nil end
    return c.may.query and { 404, "User not found" } or { 403, answer.FORBIDDEN }
end

--- Answers one call.
-- @param realm the realm
-- @param may what the token allows there
-- @param req the request
-- @param rest its path after /admin/realms/{realm}
function M.call(realm, may, req, rest)
    local part = {}
    for word in rest:gmatch("[^/]+") do part[#part + 1] = word end
    local c = { req = req, query = req.query or {}, realm = realm, part = part, may = may }
    if c.query.max and not tonumber(c.query.max) and part[2] ~= "count" then
        return answer.problem(404, answer.NOT_FOUND) -- a number was asked for: before any rights
    end
    local missing = missing_user(c)
    if missing then return answer.problem(missing[1], missing[2]) end
    if part[1] == "group-by-path" and req.method == "GET" then return group_by_path(c) end
    local methods = CALLS[call_name(part)]
    local run = methods and methods[req.method == "HEAD" and "GET" or req.method]
    if run then return run(c) end
    if methods and (#part < 2 or req.method == "PATCH") then
        return answer.problem(405, "HTTP 405 Method Not Allowed")
    end
    return answer.problem(404, answer.NOT_FOUND)
end

return M
