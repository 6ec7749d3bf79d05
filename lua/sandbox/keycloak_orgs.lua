--- Organizations of the Keycloak stand-in, and who is a member. Calls are as in
-- sandbox.keycloak_admin.

local answer = require "sandbox.keycloak_answer"
local json = require "host.json"
local view = require "sandbox.keycloak_view"

local function org_view(org, whole)
    return { id = org.id, name = org.name, alias = org.alias, enabled = true,
        domains = json.array(org.domains), attributes = whole and json.object {} or nil }
end

local function names_exactly(org, wanted)
    if org.name == wanted then return true end
    for _, domain in ipairs(org.domains) do
        if domain.name == wanted then return true end
    end
    return false
end

local function disabled()
    return answer.plain(404, { errorMessage = "Organizations not enabled for this realm." })
end

local function list_organizations(c)
    if not c.may.org_view then return answer.forbidden() end
    if not c.realm.organizations_enabled then return disabled() end
    local wanted, list = c.query.search, {}
    for _, org in ipairs(view.sorted(c.realm.organizations, "name")) do
        local hit = not wanted or names_exactly(org, wanted) or c.query.exact ~= "true"
            and org.name:lower():find(wanted:lower(), 1, true)
        if hit then list[#list + 1] = org end
    end
    return view.page(c.query, list, 10, org_view)
end

local function organizations_of(c, id)
    local list = {}
    for _, org in ipairs(view.sorted(c.realm.organizations, "name")) do
        if org.members[id] then list[#list + 1] = org end
    end
    return view.page(c.query, list, -1, org_view)
end

local function add_member(c, org)
    local ok, id = pcall(json.decode, c.req.body or "")
    local user = c.realm.users.by_id[ok and id or ""]
    if not user then return answer.problem(404, answer.NOT_FOUND) end
    if org.members[user.id] then
        return answer.plain(409, { errorMessage = "User is already a member of the organization." })
    end
    org.members[user.id] = user
    return 201, { location = ("http://%s/admin/realms/%s/organizations/%s/members/%s"):format(
        c.req.headers.host or "localhost", c.realm.name, org.id, user.id) }, ""
end

local function one_member(c, org)
    local user = org.members[c.part[4]]
    if not user then return answer.problem(404, answer.NOT_FOUND) end
    if c.part[5] then return organizations_of(c, user.id) end
    if c.req.method == "DELETE" then
        org.members[user.id] = nil
        return answer.done()
    end
    local shown = view.user_view(user, c.may, {})
    shown.membershipType = "UNMANAGED"
    return answer.found(shown)
end

local function organization(c)
    local writes = c.req.method ~= "GET" and c.req.method ~= "HEAD"
    local allowed = writes and c.may.org_manage or not writes and c.may.org_view
    if not allowed then return answer.forbidden() end
    if not c.realm.organizations_enabled then return disabled() end
    if c.part[2] == "members" then return organizations_of(c, c.part[3]) end
    local org = c.realm.organizations[c.part[2]]
    if not org then return answer.plain(404, { errorMessage = "Organization not found." }) end
    if not c.part[3] then return answer.found(org_view(org, true)) end
    if c.part[4] then return one_member(c, org) end
    if writes then return add_member(c, org) end
    return view.page(c.query, view.sorted(org.members, "username"), 10, function(user)
        local shown = view.user_view(user, c.may, { brief = true })
        shown.membershipType = "UNMANAGED"
        return shown
    end)
end

return {
    ["organizations"] = { GET = list_organizations },
    ["organizations/*"] = { GET = organization },
    ["organizations/*/members"] = { GET = organization, POST = organization },
    ["organizations/*/members/*"] = { GET = organization, DELETE = organization },
    ["organizations/*/members/*/organizations"] = { GET = organization },
}
