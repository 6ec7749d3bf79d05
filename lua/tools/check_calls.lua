--- `host check --online`: what the calls that a handler makes need of the realm. Its events are
-- run dry, as `host invoke` does, before a Keycloak in memory that knows no user yet and has every
-- group and role that is asked for; then the real one is asked, by reading, whether it has them,
-- whether it would keep the attributes, and whether the token's roles are enough.
--
-- What no event asks for is not seen, and that is said. Run by cli/check_calls.c.

local event = require "tools.event"
local json = require "host.json"
local keycloak = require "host.test_keycloak"
local needs = require "host.keycloak_roles"
local server = require "host.test_server"
local sorted = require("tools.sorted_json").names
local stage = require "host.stage"
local token = require "host.token"
local url = require "host.url"

local M = {}

local VALUES_SHOWN = 8 -- of a list in one line

local order -- what cli/check_calls.c wants to know
local requests = {} -- to Keycloak: { method =, path =, told = for people }
local elsewhere = {} -- "POST https://…"
local wanted = { group = {}, role = {}, client = {}, client_role = {}, organization = {},
    attribute = {} } -- each a set: name → true, of client roles "client\nrole" → true

local function add(mark, what, words, ...)
    stage.say(("%s\t%s\t%s"):format(mark, what, words:format(...)))
end

local function shown(list)
    local few = table.move(list, 1, math.min(#list, VALUES_SHOWN), 1, {})
    return table.concat(few, ", ") .. (#list > VALUES_SHOWN and (" and %d more")
        :format(#list - VALUES_SHOWN) or "")
end

-- ---- what the handler asks for

local function base()
    local config = token.config()
    return config.url:gsub("/+$", "") .. "/admin/realms/" .. url.escape(config.realm)
end

local function note_user(rep)
    for name, value in pairs(type(rep.attributes) == "table" and rep.attributes or {}) do
        if value ~= json.null then wanted.attribute[name] = true end
    end
    for _, name in ipairs { "firstName", "lastName" } do
        if rep[name] ~= nil and rep[name] ~= json.null then wanted.attribute[name] = true end
    end
    for _, path in ipairs(type(rep.groups) == "table" and rep.groups or {}) do
        if type(path) == "string" then wanted.group[path:gsub("^/*", "/")] = true end
    end
end

-- Ids of clients are those of the Keycloak in memory, so that names are taken at once.
local function note_name(path, query)
    local group = path:match("^/group%-by%-path/(.+)$")
    local role = path:match("^/roles/([^/]+)$")
    local client, of_client = path:match("^/clients/([^/]+)/roles/([^/]+)$")
    local id, search = query:match("clientId=([^&]+)"), query:match("search=([^&]+)")
    client = client and keycloak.realm().client_by_id[client]
    if group then wanted.group["/" .. url.unescape(group)] = true end
    if role then wanted.role[url.unescape(role)] = true end
    if client then wanted.client_role[client.name .. "\n" .. url.unescape(of_client)] = true end
    if path == "/clients" and id then wanted.client[url.unescape(id)] = true end
    if path == "/organizations" and search and query:find("exact=true", 1, true) then
        wanted.organization[url.unescape(search)] = true
    end
end

local function note(request, path, query)
    local told = path:gsub("%x+%-%x+%-%x+%-%x+%-%x+", "ID")
    requests[#requests + 1] = { method = request.method, path = path,
        told = request.method .. " " .. (told == "" and "the realm" or told) }
    if request.method == "GET" then
        note_name(path, query)
    elseif path == "/users" or path:find("^/users/[^/]+$") then
        local ok, rep = pcall(json.decode, request.body or "")
        if ok and type(rep) == "table" then note_user(rep) end
    end
end

local function is_unknown(answer)
    return answer.status == 405
        or answer.status == 404 and (answer.body or ""):find("HTTP 404 Not Found", 1, true) ~= nil
end

-- What the Keycloak in memory does not know is read from the real one, or taken for done.
local function known_or_done(request, given)
    if not is_unknown(given) then return given end
    if request.method ~= "GET" then return server.raw { status = 204 } end
    local status, body = stage.read(request.url)
    return status and server.raw { status = status, body = body,
        headers = { ["Content-Type"] = "application/json" } } or given
end

local function answer(request)
    local address, query = request.url:match("^([^?]*)%??(.*)$")
    local given = keycloak.answer(request)
    if address:sub(1, #base()) == base() then
        note(request, address:sub(#base() + 1), query)
        given = known_or_done(request, given)
    end
    if given then return given end
    elsewhere[request.method .. " " .. address] = true
    return { fails = "connect" }
end

-- The end of a line.
local function others()
    if not next(elsewhere) then return "" end
    return "; other servers are not asked: " .. shown(sorted(elsewhere))
end

local function run(sample)
    local before = #requests
    local message = json.encode(event.message(event.filled_in(sample.text)))
    local ok, result = pcall(stage.run, order.handler, message, 1)
    if not ok then
        add("doubt", "event", "%s was not run: %s", sample.name, tostring(result))
    elseif result.outcome ~= "ack" then
        add("doubt", "event", "%s: what comes after this was not looked at: %s%s%s", sample.name,
            result.outcome, result.reason and ": " .. result.reason or "", others())
    elseif #requests == before then
        add("doubt", "event", "%s: the handler asks nothing of Keycloak for it", sample.name)
    else
        add("ok", "event", "%s, run dry for a new user: %s; what other events and branches ask for"
            .. " is not seen%s", sample.name, #requests - before == 1 and "1 request"
            or ("%d requests"):format(#requests - before), others())
    end
end

-- ---- what the realm has

-- The status and what was answered, decoded; 0: no answer, and words.
local function read(path)
    local status, body = stage.read(base() .. path)
    if not status then return 0, body end
    local ok, value = pcall(json.decode, body)
    return status, ok and value or nil
end

local function has(name)
    for _, role in ipairs(order.roles) do
        if role == name or role == "realm-admin" then return true end
    end
    return false
end

-- The first one of `roles` that the token has, or nil.
local function one_of(roles)
    for _, name in ipairs(roles) do
        if has(name) then return name end
    end
    return nil
end

-- With fine-grained permissions a client may do what none of its roles says.
local function is_fine_grained()
    local _, realm = read("")
    return type(realm) == "table" and realm.adminPermissionsEnabled == true
end

local function quoted(word)
    return word:find("^[%w_.-]+$") and word or "'" .. word:gsub("'", "'\\''") .. "'"
end

-- How a role is given, as a command that can be copied.
local function remedy(role)
    local own = order.auth_realm == order.realm
    return ("kcadm.sh add-roles -r %s --uusername %s --cclientid %s --rolename %s"):format(
        quoted(order.auth_realm), quoted("service-account-" .. order.client:lower()),
        quoted(own and "realm-management" or order.realm .. "-realm"), role)
end

-- The needs of all requests, each once, with the first request that has it.
local function needs_of_requests()
    local list, known = {}, {}
    for _, request in ipairs(requests) do
        for _, need in ipairs(needs.needed(request.method, request.path)) do
            if not known[need] then list[#list + 1] = { need = need, told = request.told } end
            known[need] = true
        end
    end
    return list
end

local function needs_of_any()
    local list = {}
    for _, need in ipairs(needs.TO_REGISTER) do list[#list + 1] = { need = need } end
    list[#list + 1] = { need = needs.TO_GIVE_ROLES, maybe = true }
    return list
end

local function say_lacking(one, fine)
    local role = one.need.roles[1]
    local where = one.told and (" (%s)"):format(one.told)
        or one.maybe and "; only handlers that give them" or ""
    add((fine or one.maybe) and "doubt" or "bad", "role",
        "the service account of %s lacks %s, %s%s:\n%s%s", order.client, role, one.why, where,
        fine and "fine-grained permissions of the realm may allow it all the same; if not, " or "",
        remedy(role))
end

-- Of what is lacking, one that another's role brings along goes with that.
local function brought_along(lacking, one)
    for _, other in ipairs(lacking) do
        for _, role in ipairs(other ~= one and one.need.roles or {}) do
            if role == other.need.roles[1] and other.maybe == one.maybe then return other end
        end
    end
    return nil
end

local function look_at_roles(list)
    local found, lacking = {}, {}
    for _, one in ipairs(list) do
        local role = one_of(one.need.roles)
        one.why = one.need.why
        if not role then
            lacking[#lacking + 1] = one
        elseif found[role] then
            found[role].why = found[role].why .. ", " .. one.why
        else
            found[role] = one
            found[#found + 1] = role
        end
    end
    local fine = lacking[1] and is_fine_grained()
    for _, one in ipairs(lacking) do
        local other = brought_along(lacking, one)
        if other then other.why = other.why .. ", " .. one.why end
    end
    for _, one in ipairs(lacking) do
        if not brought_along(lacking, one) then say_lacking(one, fine) end
    end
    for _, role in ipairs(found) do add("ok", "role", "%s, %s", role, found[role].why) end
end

-- ---- names

local function look_up_client(client_id)
    local status, list = read("/clients?clientId=" .. url.escape(client_id))
    for _, one in ipairs(status == 200 and type(list) == "table" and list or {}) do
        if one.clientId == client_id then return status, one.id end
    end
    return status == 200 and 404 or status
end

-- Each returns the status: 200 it is there, 404 it is not.
local LOOK_UP = {
    group = function(path)
        return (read("/group-by-path" .. path:gsub("[^/]+", url.escape)))
    end,
    role = function(name) return (read("/roles/" .. url.escape(name))) end,
    client = function(id) return (look_up_client(id)) end,
    client_role = function(key)
        local client, role = key:match("^(.*)\n(.*)$")
        local status, id = look_up_client(client)
        if status ~= 200 then return nil end -- said of the client
        return (read("/clients/" .. id .. "/roles/" .. url.escape(role)))
    end,
    organization = function(name)
        local status, list = read("/organizations?exact=true&search=" .. url.escape(name))
        return status == 200 and type(list) == "table" and #list == 0 and 404 or status
    end,
}

local KINDS = {
    { "group", "group", "/groups" }, { "role", "realm role", "/roles" },
    { "client", "client", "/clients" }, { "client_role", "client role", "/clients" },
    { "organization", "organization", "/organizations" },
}

-- May names of this kind be looked up? Keycloak answers 404 for a group that is not there even to
-- who may see none. What is missing for it has been said.
local function may_read(path)
    if not order.roles then return true end
    for _, need in ipairs(needs.needed("GET", path)) do
        if not one_of(need.roles) then return false end
    end
    return true
end

local function look_at_names(kind, what, path)
    local there, names = {}, sorted(wanted[kind])
    if names[1] and not may_read(path) then
        add("doubt", what, "%s: not looked up, for want of that role",
            (shown(names):gsub("\n", ": ")))
        return
    end
    for _, name in ipairs(names) do
        local status, told = LOOK_UP[kind](name), name:gsub("\n", ": ")
        if status == 200 then
            there[#there + 1] = told
        elseif status == 404 then
            add("bad", what, "%s is not in realm %s: make it there, or correct its name in the"
                .. " handler", told, order.realm)
        elseif status then
            add("doubt", what, "%s: not known, Keycloak answered %d", told, status)
        end
    end
    if there[1] then add("ok", what, "%s", shown(there)) end
end

-- ---- attributes

local function may_admin_edit(attribute)
    local permissions = attribute.permissions
    for _, who in ipairs(type(permissions) == "table" and permissions.edit or {}) do
        if who == "admin" then return true end
    end
    return false
end

-- Why Keycloak would take the user and drop this, without a word; nil: it keeps it.
local function why_dropped(name, defined, policy)
    local attribute = defined[name]
    local member = name == "firstName" or name == "lastName"
    if attribute and may_admin_edit(attribute) then return nil end
    if attribute then
        return "the realm's user profile lets no administrator edit it: allow that there (Realm"
            .. " settings, User profile), or leave it out"
    end
    if not member and (policy == "ADMIN_EDIT" or policy == "ENABLED") then return nil end
    return "the realm's user profile does not define it: define it there (Realm settings, User"
        .. " profile)" .. (member and ", or leave it out"
        or ", or set \"Unmanaged attributes\" to \"Only administrators can write\"")
end

local function look_at_attributes()
    local names = sorted(wanted.attribute)
    if not names[1] then return end
    local status, profile = read("/users/profile")
    if status ~= 200 or type(profile) ~= "table" or type(profile.attributes) ~= "table" then
        add("doubt", "attribute", "%s: whether Keycloak keeps them is not known: GET /users/profile"
            .. " answered %d", shown(names), status)
        return
    end
    local defined, kept = {}, {}
    for _, one in ipairs(profile.attributes) do defined[one.name] = one end
    for _, name in ipairs(names) do
        local why = why_dropped(name, defined, profile.unmanagedAttributePolicy)
        if why then
            add("bad", "attribute", "%s would be dropped without a word: %s", name, why)
        else
            kept[#kept + 1] = name
        end
    end
    if kept[1] then add("ok", "attribute", "%s", shown(kept)) end
end

--- One look; called by cli/check_calls.c, which gets the lines of the checklist by stage.say:
-- mark, tab, what, tab, words.
-- @param msg its body is JSON: { handler =, events = a list of { name =, text = }, client =,
--   realm =, auth_realm =, roles = those in the token, left out if it names none }
function M.handle(msg)
    order = msg.json
    keycloak.assume()
    stage.answer_with(answer)
    for _, sample in ipairs(order.events) do run(sample) end
    if not order.events[1] then
        add("doubt", "event", "none to run: groups, roles and attributes that the handler asks for"
            .. " were not looked at; name a sample with -e FILE")
    end
    if order.roles then
        look_at_roles(requests[1] and needs_of_requests() or needs_of_any())
    else
        add("doubt", "role", "the token names no roles for realm %s, though %s has some there (a"
            .. " lightweight access token?): whether they are enough is not known", order.realm,
            order.client)
    end
    for _, kind in ipairs(KINDS) do look_at_names(table.unpack(kind)) end
    look_at_attributes()
end

return M
