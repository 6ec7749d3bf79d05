--- Users, groups, roles and organizations of a Keycloak server, through its Admin REST API.
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
-- Roles of the client's service account (realm-management): manage-users, which reads users and
-- groups, too (view-users is enough to read only); view-realm to resolve names of realm roles,
-- view-clients for those of client roles, view-organizations and manage-organizations for
-- organizations. `host check --online` tells which are missing (host.keycloak_roles).

local call = require "host.keycloak_call"
local converge = require "host.keycloak_ensure"
local json = require "host.json"
local merge = require "host.keycloak_merge"
local names = require "host.keycloak_names"
local organizations = require "host.keycloak_organizations"

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
                .. " clientRoles on create; users.ensure gives them" }
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

    --- The user exists afterwards and is in `groups` and has `realmRoles` and `clientRoles`,
    -- whatever an earlier attempt left half done. It only adds and changes nothing else of a user
    -- who was there.
    -- "Exists" means that user name and e-mail match, case-folded; in realms that use the e-mail
    -- as user name, the e-mail; without an e-mail only with match = "username".
    -- Groups and roles go to an account that this message did not create only with adopt = true.
    -- @param rep UserRepresentation with groups (paths), realmRoles (names) and clientRoles
    --   ({ ["client id"] = { names } })
    -- @param opts adopt = true, match = "username"; both may stand in rep as well
    -- @return the user: as Keycloak has it if it was there, else what was sent and its id
    -- @return true if this message created it, in this run or in an earlier one
    -- @raise conflict: not retryable if name or e-mail belong to another account, or if groups or
    --   roles are missing that need adopt = true (this at the second look); keycloak, retryable,
    --   for a group, role or client that does not exist; invalid
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

    --- Makes a user as wanted: reads him, and writes what differs, if anything does. Groups and
    -- roles are not changed by this. Two that change one user at once should not: Keycloak has no
    -- way to notice.
    -- @param id of the user
    -- @param rep members that should be so; json.null for none. Of `attributes` those that it names
    --   (a value or a list of values); the others stay
    -- @return the user, with what was written
    -- @return true if something was written
    -- @raise keycloak, retryable, if there is no such user; conflict, not retryable, if the name or
    --   e-mail is somebody else's; invalid
    function users.merge(id, rep)
        local at, path = api(), path_to(id)
        local _, user = call.send(at, "GET", path)
        local body = merge.difference(user, rep)
        if not body then return user, false end
        call.send(at, "PUT", path, { json = body })
        for name, value in pairs(body) do user[name] = value end
        return user, true
    end

    -- When a user's password was set, in ms; nil: he has none.
    local function password_date(at, id)
        local _, list = call.send(at, "GET", path_to(id, "credentials"))
        for _, one in ipairs(list or {}) do
            if one.type == "password" then return one.createdDate end
        end
        return nil
    end

    --- Sets a user's password. Once more is the same again, except in realms that remember
    -- passwords, which refuse it: so the request is never repeated by itself, and after an answer
    -- that is lost the password's date tells whether it was set.
    -- @param id of the user
    -- @param password the new one
    -- @param opts temporary = true: to be changed at the next login
    -- @raise invalid, not retryable, if the realm's policy refuses it
    function users.set_password(id, password, opts)
        if type(password) ~= "string" or password == "" then
            call.fail { kind = "usage", message = "users.set_password: a password was expected,"
                .. " found " .. (password == "" and "an empty string" or type(password)) }
        end
        local at = api()
        local before = password_date(at, id)
        local ok, e = pcall(call.send, at, "PUT", path_to(id, "reset-password"),
            { idempotent = false, name = "users.set_password", json = { type = "password",
                value = password, temporary = (opts or {}).temporary == true } })
        if ok then return end
        if type(e) == "table" and e.outcome_unknown then
            local seen, date = pcall(password_date, at, id)
            if seen and date ~= before then return end
        end
        error(e, 0)
    end

    -- Each of these sends a mail, and none can be taken back or looked up afterwards.
    local function mail(what, id, opts, body)
        local query = {}
        for _, name in ipairs { "lifespan", "client_id", "redirect_uri" } do
            query[name] = (opts or {})[name]
        end
        if query.redirect_uri and not query.client_id then
            call.fail { kind = "usage", message = what .. ": redirect_uri needs client_id" }
        end
        local segment = what == "users.verify_email" and "send-verify-email"
            or "execute-actions-email"
        local ok, e = pcall(call.send, api(), "PUT", path_to(id, segment),
            { query = query, json = body, idempotent = false, own_500 = true, name = what })
        if ok then return end
        if type(e) == "table" and e.outcome_unknown then
            e.message = tostring(e.message) .. "; the mail may have been sent"
        end
        error(e, 0)
    end

    --- Mails a user a link to do what is asked of him. Each call is a mail: put it last, so that a
    -- message that fails for something else does not send it again. The request is never repeated
    -- by itself; after a lost answer the error has outcome_unknown, and whoever would rather send
    -- no mail than two catches it.
    -- @param id of the user
    -- @param actions a list: "UPDATE_PASSWORD", "VERIFY_EMAIL", "UPDATE_PROFILE", …
    -- @param opts lifespan (seconds that the link lives), client_id, redirect_uri (where the
    --   browser goes afterwards; needs client_id)
    -- @raise invalid, not retryable, if the user has no e-mail or is disabled; keycloak, retryable,
    --   if the mail cannot be sent, the client or its redirect_uri is not known
    function users.execute_actions(id, actions, opts)
        if type(actions) ~= "table" or #actions == 0 then
            call.fail { kind = "usage", message = "users.execute_actions: a list of actions was"
                .. " expected, such as { \"UPDATE_PASSWORD\" }" }
        end
        local list = {}
        for i, action in ipairs(actions) do list[i] = action end
        mail("users.execute_actions", id, opts, json.array(list))
    end

    --- Mails a user a link that verifies his e-mail; what is said of execute_actions holds.
    -- @param id of the user
    -- @param opts lifespan, client_id, redirect_uri
    -- @raise as execute_actions
    function users.verify_email(id, opts)
        mail("users.verify_email", id, opts, nil)
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

    local function mappings(at, id, client)
        if client == nil then return path_to(id, "role-mappings", "realm") end
        return path_to(id, "role-mappings", "clients", names.existing_client(at, client).id)
    end

    local function change(method, id, given, client)
        local at, list = api(), {}
        for i, role in ipairs(type(given) == "table" and not given.id and given or { given }) do
            local found = type(role) == "table" and role
                or client and names.existing_client_role(at, client, role)
                or names.existing_role(at, role)
            list[i] = { id = found.id, name = found.name }
        end
        -- Without a list Keycloak would take a DELETE to mean every role.
        if #list == 0 then return end
        call.send(at, method, mappings(at, id, client), { json = list })
    end

    --- The roles that are mapped to a user directly.
    -- @param id of the user
    -- @param client the client id whose roles are meant; nil: realm roles
    -- @return a list of roles {id, name}
    function roles.list(id, client)
        local at = api()
        local _, list = call.send(at, "GET", mappings(at, id, client))
        return list
    end

    --- Gives a user roles; those that it has stay.
    -- @param id of the user
    -- @param given a name, a role as roles.get gives it, or a list of those
    -- @param client the client id whose roles they are; nil: realm roles
    -- @raise keycloak, retryable, if there is no such role or client
    function roles.add(id, given, client) change("POST", id, given, client) end

    --- Takes roles from a user.
    -- @param id of the user
    -- @param given a name, a role as roles.get gives it, or a list of those
    -- @param client the client id whose roles they are; nil: realm roles
    function roles.remove(id, given, client) change("DELETE", id, given, client) end

    return roles
end

-- `realm` nil: the configured one, read when a function is called, so that a handler loads without
-- a configuration.
local function bound_to(realm)
    local function api() return call.api(realm) end
    local M = { users = user_functions(api), groups = {}, roles = {},
        organizations = organizations(api) }
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
