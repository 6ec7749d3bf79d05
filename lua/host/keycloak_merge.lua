--- users.merge: what of a user has to be written so that he is as wanted, and nothing else.
--
-- Keycloak's PUT leaves members alone that it does not name, but `attributes` stands for all of
-- them, and takes e-mail and names with it (see users.update): so those go along, as they are.

local call = require "host.keycloak_call"
local fold = require "host.keycloak_fold"
local json = require "host.json"

local M = {}

local FOLDED = { username = true, email = true }
local WITH_ATTRIBUTES = { "email", "firstName", "lastName" }

-- Members that a PUT does not change, or changes in a way that cannot be read back.
local ELSEWHERE = {
    groups = "users.groups.add or users.ensure", realmRoles = "users.roles.add or users.ensure",
    clientRoles = "users.roles.add or users.ensure", credentials = "users.set_password",
    id = "the first argument", createdTimestamp = "nobody: Keycloak keeps the first one",
}

local function usage(text)
    call.fail { kind = "usage", message = "users.merge: " .. text }
end

-- null, "" and "not there" are the same to Keycloak.
local function text_of(value)
    if value == nil or value == json.null or value == "" then return nil end
    return tostring(value)
end

local function same(name, has, wanted)
    if type(wanted) == "table" and wanted ~= json.null then
        if type(has) ~= "table" or #has ~= #wanted then return false end
        for i = 1, #wanted do
            if not same(nil, has[i], wanted[i]) then return false end
        end
        return true
    end
    local a, b = text_of(has), text_of(wanted)
    if FOLDED[name] and a and b then return fold(a) == fold(b) end
    return a == b
end

local function values_of(value)
    if value == json.null or value == "" then return {} end
    local list = {}
    for i, one in ipairs(type(value) == "table" and value or { value }) do
        list[i] = tostring(one)
    end
    return list
end

-- All attributes as they should be, or nil if they are so.
local function merged_attributes(has, wanted)
    if type(wanted) ~= "table" then usage("attributes is a table") end
    local all, differs = {}, false
    for name, value in pairs(type(has) == "table" and has or {}) do all[name] = value end
    for name, value in pairs(wanted) do
        local list = values_of(value)
        if not same(nil, all[name] or {}, list) then
            all[name], differs = list[1] and list or nil, true
        end
    end
    return differs and json.object(all) or nil
end

--- What to PUT.
-- @param user as Keycloak has it
-- @param wanted the members that should be so; json.null or "" for none. Of `attributes` those that
--   are named; the others stay
-- @return the representation to send, or nil if nothing differs
function M.difference(user, wanted)
    if type(wanted) ~= "table" then usage("a table with what should be so was expected") end
    local body, differs = {}, false
    for name, value in pairs(wanted) do
        if ELSEWHERE[name] then usage(name .. " is not changed by this, but by "
            .. ELSEWHERE[name]) end
        if name ~= "attributes" and not same(name, user[name], value) then
            body[name], differs = value == json.null and "" or value, true
        end
    end
    local attributes = wanted.attributes ~= nil and wanted.attributes ~= json.null
        and merged_attributes(user.attributes, wanted.attributes)
    if attributes then
        body.attributes, differs = attributes, true
        for _, name in ipairs(WITH_ATTRIBUTES) do
            if body[name] == nil then body[name] = user[name] end
        end
    end
    return differs and body or nil
end

return M
