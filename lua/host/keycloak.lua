--- Users, groups and realm roles of a Keycloak server, through its Admin REST API.
--
--     local kc = require "host.keycloak"
--     local user, created = kc.users.ensure { username = "anna", email = "anna@example.org",
--                                             groups = { "/customers" } }
--
-- Server, realm and client come from the configuration (keycloak.url, .realm, .auth_realm,
-- .client_id, .client_secret_file); the process fetches one token for all workers.
--
-- Every function raises a typed error {kind, message, retryable, status, …} when it cannot do what
-- it says, so that a handler that checks nothing loses nothing:
--   * Keycloak is away, answers 5xx, or refuses the client: target_failed, the message waits
--   * 429: retryable, `after` from Retry-After
--   * 400 with Keycloak's verdict on the data: kind "invalid", not retryable, with `field`/`errors`
--   * the name or e-mail is somebody else's: kind "conflict", not retryable
-- Roles of the client's service account (realm-management): manage-users, view-users, query-users;
-- view-realm to resolve names of realm roles.

local call = require "host.keycloak_call"
local converge = require "host.keycloak_ensure"
local json = require "host.json"
local names = require "host.keycloak_names"

local NOT_THERE = "User not found"

-- Filters of which one has to be there: a find without any answers with everybody, and a handler
-- that takes the first of the list would take anybody.
local FILTERS = { "username", "email", "firstName", "lastName", "search", "q", "idpUserId" }

-- The path of one user. Without this check a nil would cut the path short: `users.get(nil)` would
-- ask for everybody, and the list it got would look like a user that is there.
local function path_to(id, ...)
    if (type(id) ~= "string" and type(id) ~= "number") or id == "" then
        call.fail { kind = "usage", message = "host.keycloak: a user's id was expected, found "
            .. (id == "" and "an empty string" or type(id)) }
    end
    return { "users", id, ... }
end

local function user_functions(api)
    local users = {}

    --- Creates a user. Not to be used where a message may come twice: see users.ensure.
    -- @param rep Keycloak's UserRepresentation; enabled is true unless said
    -- @return the id
    -- @raise conflict if name or e-mail is taken; invalid
    function users.create(rep)
        if rep.realmRoles ~= nil or rep.clientRoles ~= nil then
            call.fail { kind = "usage", message = "users.create: Keycloak ignores realmRoles and"
                .. " clientRoles on create; users.ensure gives realmRoles" }
        end
        local body = { enabled = true }
        for name, value in pairs(rep) do body[name] = value end
        local answer = call.create(api(), body)
        local id = (answer.headers.location or ""):match("/users/([^/?#]+)/*$")
        if not id then
            call.fail { kind = "keycloak", retryable = true, outcome_unknown = true,
                message = "Keycloak: POST /users was accepted, but the answer names no user" }
        end
        return id
    end

    --- The user exists afterwards and is in `groups` and has `realmRoles`, whatever an earlier
    -- attempt left half done. It only adds and changes nothing else of a user who was there.
    -- "Exists" means that user name and e-mail match, case-folded; in realms that use the e-mail
    -- as user name, the e-mail; without an e-mail only with match = "username".
    -- Groups and roles go to an account that this message did not create only with adopt = true.
    -- @param rep UserRepresentation with groups (paths) and realmRoles (names)
    -- @param opts adopt = true, match = "username"; both may stand in rep as well
    -- @return the user: as Keycloak has it if it was there, else what was sent and its id
    -- @return true if this message created it, in this run or in an earlier one
    -- @raise conflict: not retryable if name or e-mail belong to another account, or if groups or
    --   roles are missing that need adopt = true (this at the second look); keycloak, retryable,
    --   for a group or role that does not exist; invalid
    function users.ensure(rep, opts)
        return converge.ensure(api(), rep, opts)
    end

    --- @return the user of an id, or nil
    function users.get(id)
        local answer, user = call.send(api(), "GET", path_to(id), { absent = NOT_THERE })
        return answer.status == 200 and user or nil
    end

    --- Users by whole user name, e-mail or names (exact unless exact = false), or by search or q.
    -- @param query { username = …, email = …, max = …, first = … }
    -- @return a list, empty if there is none
    function users.find(query)
        local filtered, sent = false, { exact = true }
        for name, value in pairs(query) do sent[name] = value end
        for _, name in ipairs(FILTERS) do
            local value = query[name]
            if value == "" or value == json.null then
                call.fail { kind = "usage", message = "users.find: " .. name
                    .. " is empty; Keycloak would answer with everybody" }
            end
            filtered = filtered or value ~= nil
        end
        if not filtered then
            call.fail { kind = "usage", message = "users.find: one of "
                .. table.concat(FILTERS, ", ") .. " is needed" }
        end
        local _, list = call.send(api(), "GET", { "users" }, { query = sent })
        return list
    end

    --- Changes a user. Keycloak leaves members that are not given as they are; but `attributes`, if
    -- given, replaces all of them, and e-mail, first and last name go with them unless they are
    -- given too. Groups and roles are not changed by this.
    function users.update(id, rep)
        call.send(api(), "PUT", path_to(id), { json = rep })
    end

    --- Deletes a user.
    -- @return true, or false if there was none
    function users.delete(id)
        return call.send(api(), "DELETE", path_to(id), { absent = NOT_THERE }).status ~= 404
    end

    return users
end

local function membership_functions(api)
    local groups = {}

    local function group_id(at, group)
        return type(group) == "table" and group.id or names.existing_group(at, group).id
    end

    --- @return the list of groups {id, name, path} that a user is in
    function groups.list(id)
        local _, list = call.send(api(), "GET", path_to(id, "groups"))
        return list
    end

    --- Puts a user into a group; nothing happens if it is there.
    -- @param id of the user
    -- @param group a path, or a group as groups.find gives it
    -- @raise keycloak, retryable, if there is no such group
    function groups.add(id, group)
        local at = api()
        local gid = group_id(at, group)
        local answer = call.send(at, "PUT", path_to(id, "groups", gid), { expect = { 409 } })
        if answer.status ~= 409 then return end
        -- Somebody else adds the same at this moment: done if it is there now.
        for _, one in ipairs(groups.list(id)) do
            if one.id == gid then return end
        end
        call.fail { status = 409, message = "Keycloak: user " .. id .. " could not join a group" }
    end

    --- Takes a user out of a group; nothing happens if it is not in it.
    function groups.remove(id, group)
        local at = api()
        call.send(at, "DELETE", path_to(id, "groups", group_id(at, group)))
    end

    return groups
end

local function mapping_functions(api)
    local roles = {}

    local function change(method, id, given)
        local at, list = api(), {}
        for i, role in ipairs(type(given) == "table" and not given.id and given or { given }) do
            local found = type(role) == "table" and role or names.existing_role(at, role)
            list[i] = { id = found.id, name = found.name }
        end
        -- Without a list Keycloak would take a DELETE to mean every role.
        if #list == 0 then return end
        call.send(at, method, path_to(id, "role-mappings", "realm"), { json = list })
    end

    --- @return the list of realm roles {id, name} that are mapped to a user directly
    function roles.list(id)
        local _, list = call.send(api(), "GET", path_to(id, "role-mappings", "realm"))
        return list
    end

    --- Gives a user realm roles; those that it has stay.
    -- @param given a name, a role as roles.get gives it, or a list of those
    -- @raise keycloak, retryable, if there is no such role
    function roles.add(id, given) change("POST", id, given) end

    --- Takes realm roles from a user.
    function roles.remove(id, given) change("DELETE", id, given) end

    return roles
end

-- `realm` nil: the configured one, read when a function is called, so that a handler loads without
-- a configuration.
local function bound_to(realm)
    local function api() return call.api(realm) end
    local M = { users = user_functions(api), groups = {}, roles = {} }
    M.users.groups = membership_functions(api)
    M.users.roles = mapping_functions(api)

    --- @return the group {id, name, path} of a path, or nil; may be a minute old
    function M.groups.find(path) return names.group(api(), path) end

    --- @return the realm role {id, name} of a name, or nil; may be a minute old
    function M.roles.get(name) return names.role(api(), name) end

    --- Any other call of the Admin API.
    -- @param method "GET", "POST", …
    -- @param path below /admin/realms/{realm}: a list of segments, which are encoded, or a string
    --   that begins with "/"
    -- @param opts query, json, body, headers, timeout, idempotent (false for POST unless said),
    --   expect (list of further statuses that are answers and no errors)
    -- @return the answer {status, headers, body}
    -- @return its decoded body, or nil
    function M.request(method, path, opts) return call.send(api(), method, path, opts) end

    --- The same functions on another realm of the server; keycloak.auth_realm has to name a realm
    -- whose clients may act there (usually master).
    function M.realm(name) return bound_to(name) end

    return M
end

return bound_to(nil)
