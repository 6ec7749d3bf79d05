--- Representations of what the Keycloak stand-in keeps, and pages of them.

local answer = require "sandbox.keycloak_answer"
local json = require "host.json"

local M = {}

function M.user_view(user, may, how)
    local view = { id = user.id, username = user.username, email = user.email,
        firstName = user.firstName, lastName = user.lastName, emailVerified = user.emailVerified,
        enabled = user.enabled, createdTimestamp = user.createdTimestamp,
        attributes = user.attributes }
    if not how.brief then
        view.totp, view.notBefore = false, 0
        view.disableableCredentialTypes = json.array {}
        view.requiredActions = json.array(user.requiredActions)
    end
    if how.single then
        view.access = { view = may.view, manage = may.manage, mapRoles = may.manage,
            manageGroupMembership = may.manage, resetPassword = may.manage, impersonate = false }
    elseif how.listed then
        view.access = { manage = may.manage }
    end
    return view
end

function M.group_view(group, may, how)
    local view = { id = group.id, name = group.name, path = group.path, subGroups = json.array {},
        parentId = group.parent and group.parent.id }
    if not how.brief then
        view.attributes, view.realmRoles = json.object {}, json.array {}
        view.clientRoles = json.object {}
    end
    if how.counted then view.subGroupCount = #group.children end
    if how.access then
        view.access = { view = may.view, viewMembers = may.view, manageMembers = may.manage,
            manage = may.manage, manageMembership = may.manage }
    end
    return view
end

function M.role_view(realm, role, whole)
    return { id = role.id, name = role.name, description = role.description,
        composite = role.composite, clientRole = false, containerId = realm.id,
        attributes = whole and json.object {} or nil }
end

function M.sorted(map, key)
    local list = {}
    for _, value in pairs(map) do list[#list + 1] = value end
    table.sort(list, function(a, b) return a[key] < b[key] end)
    return list
end

--- The part of a list that first and max ask for.
function M.page(query, list, default_max, view)
    local first = math.max(0, math.tointeger(tonumber(query.first)) or 0)
    local max = math.tointeger(tonumber(query.max)) or default_max
    local last = max < 0 and #list or math.min(#list, first + max)
    local out = json.array {}
    for i = first + 1, last do out[#out + 1] = view(list[i]) end
    return answer.found(out)
end

return M
