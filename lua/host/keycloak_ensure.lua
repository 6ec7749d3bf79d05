--- users.ensure: afterwards the user exists and has its groups and its roles, whatever an
-- earlier attempt left half done.
--
-- It creates first and looks only when Keycloak says "exists", so that a registration costs one
-- POST (and one more if it has realm roles, and for each client whose roles it has). A message that
-- comes again is looked up first: its earlier run may have been cut off after the POST.
--
-- How does it know an account that it made itself? This matters after a crash between the POST
-- and the roles: the message comes again, finds the account, and has to finish it; but an account
-- that somebody registered under the same name and e-mail must not be given rights by an event.
--   * An attribute of the user as a mark: realms drop attributes that their profile does not
--     define, silently, and that is the default.
--   * "Made after the message was sent": so is the account of somebody who registered while the
--     message waited in the queue.
--   * Being in the event's groups: so is whoever an administrator put there.
-- So the mark is the account's creation time, to the millisecond: the time at which the message
-- was sent, which stays the same however often it comes. Keycloak takes `createdTimestamp` from
-- whoever may create users, lets nobody change it afterwards, and dates everybody else's account
-- itself; to be taken for ours, an account would have to be made in the very millisecond in which
-- the message was sent. It reads well, too: the user came when the registration did.
-- An event that carries its own time can give it as rep.createdTimestamp; then a copy of the event
-- in another message (a redrive, a producer that sends twice) is known as well. It has to be in
-- milliseconds: a time that a stranger can hit is no mark. The time that a dead-letter copy carries
-- in its attribute host.failure is not read: whoever may send sets attributes, and would only have
-- to name the millisecond of an account to have it taken for ours.
--
-- Groups go with the POST: Keycloak creates the user and its memberships in one transaction, so
-- only roles can be half done. A role that hangs on a group needs no second call at all.

local call = require "host.keycloak_call"
local fold = require "host.keycloak_fold"
local host = require "host"
local json = require "host.json"
local names = require "host.keycloak_names"
local token = require "host.token"

local M = {}

-- Members of `rep` that are not sent to Keycloak as they are.
local OURS = { groups = true, realmRoles = true, clientRoles = true, adopt = true, match = true }

local function usage(text)
    call.fail { kind = "usage", message = "users.ensure: " .. text }
end

local function list_of(value, what)
    if value == nil or value == json.null then return {} end
    if type(value) == "string" then return { value } end
    if type(value) ~= "table" then usage(what .. " is a list of names") end
    local list = {} -- a copy: settings out of host.config are read-only and have no length
    for i, name in ipairs(value) do list[i] = name end
    return list
end

-- Every role that is wanted: { name =, client = its client id, nil for a realm role }.
local function roles_of(rep)
    local list = {}
    for _, name in ipairs(list_of(rep.realmRoles, "realmRoles")) do
        list[#list + 1] = { name = name }
    end
    local given = rep.clientRoles
    if given == nil or given == json.null then return list end
    if type(given) ~= "table" or #given > 0 then
        usage("clientRoles is a table of client ids, each with a list of names")
    end
    local clients = {}
    for client in pairs(given) do clients[#clients + 1] = client end
    table.sort(clients) -- errors and requests come in the same order each time
    for _, client in ipairs(clients) do
        for _, name in ipairs(list_of(given[client], "clientRoles." .. client)) do
            list[#list + 1] = { name = name, client = client }
        end
    end
    return list
end

local function text_or_nil(value)
    if value == nil or value == json.null or value == "" then return nil end
    return tostring(value)
end

-- The creation time that the account will have, in ms: see the top of the file.
local function stamp_of(given, sent_at_ms)
    if given ~= nil then
        return math.tointeger(tonumber(given))
            or usage("createdTimestamp is a whole number of milliseconds")
    end
    if sent_at_ms and sent_at_ms > 0 then return sent_at_ms end
    return math.floor(host.now() * 1000) -- no message, or a queue that does not tell
end

-- What is wanted, from what the handler gave.
local function plan(rep, opts)
    if type(rep) ~= "table" then usage("a table with the user was expected") end
    opts = opts or {}
    local w = {
        body = {}, username = text_or_nil(rep.username), email = text_or_nil(rep.email),
        groups = list_of(rep.groups, "groups"), roles = roles_of(rep),
        adopt = opts.adopt or rep.adopt, match = opts.match or rep.match,
    }
    if w.match ~= nil and w.match ~= "username" then
        usage("match is \"username\" or left out")
    end
    for name, value in pairs(rep) do
        if value ~= json.null and not OURS[name] then w.body[name] = value end
    end
    if w.body.enabled == nil then w.body.enabled = true end
    local sent_at_ms, attempt = token.message()
    w.stamp, w.attempt = stamp_of(w.body.createdTimestamp, sent_at_ms), attempt or 1
    w.body.createdTimestamp = w.stamp
    return w
end

-- Ids of the groups and roles, before anything is created: a wrong name stops here, by name.
local function resolve(api, w)
    w.group_of = {}
    for i, path in ipairs(w.groups) do
        w.group_of[path] = names.existing_group(api, path)
        w.body.groups = w.body.groups or {}
        w.body.groups[i] = w.group_of[path].path
    end
    for _, role in ipairs(w.roles) do
        role.found = role.client and names.existing_client_role(api, role.client, role.name)
            or names.existing_role(api, role.name)
    end
end

local function forget_names(api, w)
    for _, path in ipairs(w.groups) do names.forget(api, "group", path) end
    for _, role in ipairs(w.roles) do
        if role.client then
            names.forget_client_role(api, role.client, role.name)
        else
            names.forget(api, "role", role.name)
        end
    end
end

-- What follows may give rights to the account, so Keycloak's word is checked: it asks its database,
-- and one whose collation ignores accents takes "müller" for "muller".
local function same(a, b)
    return type(a) == "string" and type(b) == "string" and fold(a) == fold(b)
end

-- The one account with this user name and/or e-mail, whole and case-folded; nil if there is none,
-- and then as a second value an account that Keycloak took for it.
local function find_one(api, username, email)
    local query = { exact = true, username = username, email = email, briefRepresentation = true }
    local _, list = call.send(api, "GET", { "users" }, { query = query })
    for _, user in ipairs(list or {}) do
        if (not username or same(user.username, username))
            and (not email or same(user.email, email)) then
            return user
        end
    end
    return nil, list and list[1]
end

local function is_ours(user, w)
    return user.createdTimestamp == w.stamp
end

-- The account that this registration means, or nil.
local function look_up(api, w)
    if not w.email then
        local user = w.username and find_one(api, w.username, nil)
        return user and (w.match == "username" or is_ours(user, w)) and user or nil
    end
    local user = w.username and find_one(api, w.username, w.email)
    if not user and names.email_is_username(api) then user = find_one(api, nil, w.email) end
    return user or nil
end

local function refuse(api, user, what)
    call.fail { kind = "conflict", retryable = false, status = 409,
        message = ("Keycloak: account %s of realm %s has this %s: somebody else's")
            :format(user.id, api.realm, what) }
end

-- Keycloak said "exists" and look_up knows no such account: whose is it?
local function explain_conflict(api, w, e)
    local by_email, near, by_name
    if w.email then by_email, near = find_one(api, nil, w.email) end
    if by_email and names.email_is_username(api) == nil
        and same(by_email.username, by_email.email) then
        return by_email -- the setting may not be seen; an account with its e-mail as name shows it
    end
    if by_email then refuse(api, by_email, "e-mail with another user name") end
    if near then refuse(api, near, "e-mail (but for accents)") end
    if w.username then by_name, near = find_one(api, w.username, nil) end
    if near then refuse(api, near, "user name (but for accents)") end
    if by_name and not w.email then
        refuse(api, by_name, "user name, and the event has no e-mail to compare"
            .. " (match = \"username\" takes the name alone)")
    end
    if by_name then refuse(api, by_name, "user name with another e-mail") end
    e.kind, e.retryable = "keycloak", true -- gone again, or not yet to be seen: a race
    error(e, 0)
end

-- An answer that says nothing certain: the user may be there, so it is looked up before anybody
-- posts again. If that cannot be done either, the message comes again and is looked up first.
local function settle_doubt(api, w, e)
    local ok, user = pcall(look_up, api, w)
    if not ok then error(e, 0) end
    if user then return user end
    if e.status == 500 then
        forget_names(api, w) -- a group that has gone since it was looked up answers 500
        resolve(api, w)
    end
    error(e, 0)
end

-- Returns the user, and true if this very call made it.
local function create(api, w)
    local ok, answer = pcall(call.create, api, w.body)
    if not ok then
        local e = answer
        if type(e) ~= "table" then error(e, 0) end
        if e.status == 409 then
            return look_up(api, w) or explain_conflict(api, w, e), false
        elseif e.outcome_unknown then
            return settle_doubt(api, w, e), false
        end
        error(e, 0)
    end
    -- Its host may be a name that only Keycloak knows; the last segment is the id.
    local id = (answer.headers.location or ""):match("/users/([^/?#]+)/*$")
    if not id then
        call.fail { status = answer.status, outcome_unknown = true, message = "Keycloak: created"
            .. " a user without saying its id (no Location header): does a proxy drop headers?" }
    end
    local user = { id = id }
    for name, value in pairs(w.body) do user[name] = value end
    return user, true
end

-- Where a role is mapped to a user: those of one client, and the realm's, go in one request.
local function mapping_path(id, role)
    if role.client then
        return { "users", id, "role-mappings", "clients", role.found.client_uuid }
    end
    return { "users", id, "role-mappings", "realm" }
end

-- Calls f(path, its roles) for the realm and for each client, in the order of the roles.
local function each_mapping(id, roles, f)
    local lists, order = {}, {}
    for _, role in ipairs(roles) do
        local key = role.client or false
        if not lists[key] then
            lists[key] = {}
            order[#order + 1] = key
        end
        table.insert(lists[key], role)
    end
    for _, key in ipairs(order) do f(mapping_path(id, lists[key][1]), lists[key]) end
end

local function add_roles(api, id, roles)
    each_mapping(id, roles, function(path, list)
        local body = {}
        for i, role in ipairs(list) do body[i] = { id = role.found.id, name = role.found.name } end
        call.send(api, "POST", path, { json = body })
    end)
end

local function ids_at(api, path)
    local _, list = call.send(api, "GET", path)
    local has = {}
    for _, one in ipairs(list or {}) do has[one.id] = true end
    return has
end

local function lacks(api, id, w)
    local groups, roles = {}, {}
    local has = #w.groups > 0 and ids_at(api, { "users", id, "groups" })
    for _, path in ipairs(w.groups) do
        if not has[w.group_of[path].id] then groups[#groups + 1] = w.group_of[path] end
    end
    each_mapping(id, w.roles, function(path, list)
        local mapped = ids_at(api, path)
        for _, role in ipairs(list) do
            if not mapped[role.found.id] then roles[#roles + 1] = role end
        end
    end)
    return groups, roles
end

-- Two adding the same at once: Keycloak answers one of them 409 (groups) or 400 (roles). That is
-- no failure if it is there afterwards. It happens after a crash, when the dead host's request is
-- still being carried out.
local function add(api, id, w, groups, roles)
    local ok, e = pcall(function()
        for _, group in ipairs(groups) do
            call.send(api, "PUT", { "users", id, "groups", group.id })
        end
        add_roles(api, id, roles)
    end)
    if ok then return end
    if type(e) == "table" and (e.status == 400 or e.status == 404 or e.status == 409) then
        forget_names(api, w) -- 404: a group or role was made anew under its old name
        local more_groups, more_roles = lacks(api, id, w)
        if #more_groups == 0 and #more_roles == 0 then return end
        e.retryable = true
    end
    error(e, 0)
end

local function described(groups, roles)
    local words = {}
    for _, group in ipairs(groups) do words[#words + 1] = "group " .. group.path end
    for _, role in ipairs(roles) do
        words[#words + 1] = role.client and ("role %s of client %s"):format(role.name, role.client)
            or "realm role " .. role.name
    end
    return table.concat(words, ", ")
end

--- See users.ensure in host.keycloak.
function M.ensure(api, rep, opts)
    local w = plan(rep, opts)
    resolve(api, w)
    local user, made = nil, false
    if w.attempt > 1 then user = look_up(api, w) end
    if not user then user, made = create(api, w) end
    if made then
        add(api, user.id, w, {}, w.roles)
        return user, true
    end
    local ours = is_ours(user, w)
    local groups, roles = lacks(api, user.id, w)
    if #groups + #roles > 0 then
        if not ours and not w.adopt then
            -- Another message of the same event may be at work on that very account now: the first
            -- look asks for a second one, a backoff later, before anything is final.
            call.fail { kind = "conflict", retryable = w.attempt <= 1, message =
                ("Keycloak: account %s of realm %s exists, was not made by this message and lacks"
                .. " %s: only adopt = true gives it that")
                :format(user.id, api.realm, described(groups, roles)) }
        end
        add(api, user.id, w, groups, roles)
    end
    return user, ours
end

return M
