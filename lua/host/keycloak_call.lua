--- One call of Keycloak's Admin REST API: address, token, and what its answer means.
--
-- host.keycloak and host.keycloak_ensure stand on this; handlers use host.keycloak.
--
-- Every failure leaves here as one typed error. What its fields promise:
--   kind           "keycloak", "conflict" (somebody else's account), "invalid" (Keycloak says what
--                  is wrong with the data), "config"
--   status, path   of the answer; the path without its query, which may name a person
--   retryable      false only where Keycloak itself says that the data can never pass
--   target_failed  Keycloak, or what we may do there, is the trouble: not this message
--   outcome_unknown  the request may have been carried out all the same

local host = require "host"
local http = require "host.http"
local json = require "host.json"
local roles = require "host.keycloak_roles"
local token = require "host.token"
local url = require "host.url"

local M = {}

-- A token carries the roles of the moment it was made, so a 403 may only mean that a role was
-- granted since. Younger tokens than this are believed: else every refused message would cost
-- Keycloak a token.
local TOKEN_BELIEVED_S = 30

local first_seen = {} -- auth realm -> { number = of the token, at = when this state first used it }

--- Raises a typed error.
-- @param fields kind, message and the rest
-- @raise always
function M.fail(fields)
    fields.kind = fields.kind or "keycloak"
    if fields.retryable == nil then fields.retryable = true end
    host.error(fields)
end


-- A list of segments is encoded segment by segment. A string is the caller's own work: only what
-- no path may hold is encoded, so "%2F" stays what it is.
local function path_of(path)
    if type(path) == "table" then
        local parts = {}
        for i, segment in ipairs(path) do
            segment = tostring(segment)
            if segment == "" or segment == "." or segment == ".." then
                M.fail { kind = "usage", message = ("Keycloak: part %d of a path is %q; an id or a"
                    .. " name was expected"):format(i, segment) }
            end
            parts[i] = "/" .. url.escape(segment)
        end
        return table.concat(parts)
    end
    if type(path) ~= "string" or (path ~= "" and path:sub(1, 1) ~= "/") or path:find("[?#]") then
        M.fail { kind = "usage", message = "Keycloak: a path begins with / and has no query"
            .. " (use opts.query): " .. tostring(path):gsub("[?#].*", "…") }
    end
    return (path:gsub("[^%w%-._~/%%!$&'()*+,;=:@]", url.escape))
end

--- The server and realm that the configuration names.
-- @param realm another realm of that server, or nil
-- @return { url, realm, auth_realm }
-- @raise config when keycloak.url or keycloak.realm is not set
function M.api(realm)
    local config = token.config()
    if not config.url then
        M.fail { kind = "config", message = "keycloak.url is not set: put keycloak = { url = …,"
            .. " realm = … } into host.conf.lua or set LUAHOST_KEYCLOAK_URL" }
    end
    realm = realm or config.realm
    if not realm then
        M.fail { kind = "config", message = "keycloak.realm is not set: put it into host.conf.lua"
            .. " or set LUAHOST_KEYCLOAK_REALM" }
    end
    return {
        url = config.url:gsub("/+$", ""),
        origin = config.origin, -- the target's name, as the core writes it
        realm = realm,
        auth_realm = config.auth_realm or config.realm or realm,
    }
end

-- Keycloak's own words. Values that somebody typed (params of an e-mail error) are left out: this
-- text goes to logs; the bounds of a length are numbers and stay.
local function one_reason(entry)
    local text = entry.errorMessage or entry.error_description or entry.error
    if type(text) ~= "string" then return nil end
    if entry.errorMessage == nil and type(entry.error) == "string" and entry.error ~= text then
        text = entry.error .. ", " .. text
    end
    local bounds = {}
    for _, p in ipairs(type(entry.params) == "table" and entry.params or {}) do
        if type(p) == "number" then bounds[#bounds + 1] = tostring(p) end
    end
    if #bounds > 0 then text = text .. " (" .. table.concat(bounds, " to ") .. ")" end
    if type(entry.field) == "string" then text = entry.field .. ": " .. text end
    return text
end

local function body_of(answer)
    if not answer.body or answer.body == "" then return nil end
    local ok, value = pcall(json.decode, answer.body)
    return ok and value or nil
end

local function reasons(body)
    if type(body.errors) ~= "table" then return one_reason(body) end
    local all = {}
    for _, entry in ipairs(body.errors) do
        all[#all + 1] = type(entry) == "table" and one_reason(entry) or nil
    end
    return table.concat(all, "; ")
end

-- What a handler or its configuration says wrong, and Keycloak's own trouble.
local NOT_OF_DATA = { "^Could not", "^Invalid json representation", "^Client doesn't exist",
    "^Client id missing", "^Invalid redirect uri", "^Provided invalid required actions" }

-- Is a 400 Keycloak's own verdict on the data? Without its JSON it is a proxy's word; "Could not
-- create user" and the like are a trouble of its database, "Invalid json representation" names a
-- field that it does not know, so the handler is wrong and not the event: those may pass later.
local function is_verdict(body)
    if body.field or body.errors then return true end
    local text = body.errorMessage or body.error
    if type(text) ~= "string" or text == "invalid_request" then return false end
    for _, pattern in ipairs(NOT_OF_DATA) do
        if text:find(pattern) then return false end
    end
    return true
end

-- What the status means for the message. Fills in the error's fields and returns words of ours.
local function judge(e, api, method, path, body, once)
    local status = e.status
    if status == 401 then
        e.target_failed = true
        return ("it refused a fresh token of realm %s: does keycloak.auth_realm name the realm of"
            .. " the client?"):format(api.auth_realm)
    elseif status == 403 then
        e.target_failed = true
        local need = roles.needed(method, path)[1]
        local role = need and need.roles[1]
        if not role then return "the client's service account lacks a role for this" end
        if api.realm ~= api.auth_realm then
            return ("the client of realm %s lacks the role %s in realm %s; among other realms only"
                .. " master can give it"):format(api.auth_realm, role, api.realm)
        end
        return ("the client's service account lacks the role %s of realm-management in realm %s")
            :format(role, api.realm)
    elseif status == 404 and body.error == "Realm not found." then
        e.target_failed = true
        return ("there is no realm %s (keycloak.realm)"):format(api.realm)
    elseif status == 409 and tostring(body.errorMessage):find("^User exists") then
        e.kind, e.retryable = "conflict", false
    elseif status == 400 and is_verdict(body) then
        e.kind, e.retryable = "invalid", false
        e.field, e.errors = body.field, body.errors
    elseif status >= 300 and status < 400 then
        return "a redirection is not followed: does keycloak.url name the server itself?"
    elseif status == 500 and tostring(body.errorMessage):find("^Failed to send") then
        return "is the realm's SMTP server set, and can Keycloak reach it?"
    elseif status >= 500 then
        e.outcome_unknown = once or nil
        -- A group that vanished and a lost race look like this too: perhaps this message's own
        -- trouble, so Keycloak is not held to be down because of it.
        local odd = method == "POST" and path == "/users" and status == 500
        e.target_failed = not (odd and body.error == "unknown_error")
    end
    return nil
end

-- `once`: carried out twice it would do more than carried out once.
local function failure(api, method, path, answer, body, once)
    if type(body) ~= "table" then body = {} end
    local reason = reasons(body)
    local e = {
        kind = "keycloak", status = answer.status, retryable = true, after = answer.retry_after,
        target = api.origin,
        path = "/admin/realms/" .. url.escape(api.realm) .. path,
    }
    local ours = judge(e, api, method, path, body, once)
    e.message = ("Keycloak: %s %s answered %d%s%s"):format(method, e.path, e.status,
        reason and reason ~= "" and ": " .. reason or "", ours and "; " .. ours or "")
    M.fail(e)
end

local function believed(auth_realm, number)
    local seen = first_seen[auth_realm]
    if not seen or seen.number ~= number then
        first_seen[auth_realm] = { number = number, at = token.clock() }
        return true
    end
    return token.clock() - seen.at < TOKEN_BELIEVED_S
end

-- A refused request has done nothing, so that once more is safe even for a POST.
local function authorized(api, request)
    for try = 1, 2 do
        local bearer, number = token.get(api.auth_realm)
        local young = believed(api.auth_realm, number)
        request.headers.authorization = "Bearer " .. bearer
        local answer = http.request(request)
        local refused = answer.status == 401 or answer.status == 403 and not young
        if not refused or try == 2 then return answer end
        token.drop(api.auth_realm, number)
    end
end

--- Creates a user: calls that hash a password take ten times as long and are told apart, and a 500
-- may be a group that vanished.
-- @param api what M.api returned
-- @param rep UserRepresentation, as it is sent
-- @return what M.send returns
function M.create(api, rep)
    local hashes = type(rep.credentials) == "table" and next(rep.credentials) ~= nil
    return M.send(api, "POST", { "users" }, { json = rep, own_500 = true,
        name = hashes and "users.create+password" or "users.create" })
end

--- Sends one request to the Admin API.
-- @param api what M.api returned
-- @param method "GET", "POST", …
-- @param path below /admin/realms/{realm}: a list of segments, encoded here, or a string that
--   begins with "/" ("" is the realm itself)
-- @param opts query (name → value), json (any value), body (a string) with headers, timeout (s),
--   idempotent (false for POST unless said), name (of calls of this kind, for the limit), own_500
--   (a 500 may be this request's own trouble), expect (list of further statuses that are answers
--   and no errors), absent (Keycloak's words in the one 404 that is an answer; any other 404 may
--   be a wrong URL, and "it is not there" must not be concluded from that)
-- @return the answer {status, headers, body}: 2xx, `expect` or `absent`
-- @return its decoded body, or nil if it has none or it is no JSON
-- @raise see the top of the file; what host.http raises passes through
function M.send(api, method, path, opts)
    opts = opts or {}
    path = path_of(path)
    local request = {
        method = method,
        url = api.url .. "/admin/realms/" .. url.escape(api.realm) .. path,
        headers = { accept = "application/json" },
        timeout = opts.timeout,
        idempotent = opts.idempotent,
        name = opts.name,
        own_500 = opts.own_500,
    }
    if opts.query and next(opts.query) ~= nil then
        request.url = request.url .. "?" .. url.query(opts.query)
    end
    for name, value in pairs(opts.headers or {}) do request.headers[name:lower()] = value end
    if opts.json ~= nil then
        request.body = json.encode(opts.json)
        request.headers["content-type"] = "application/json"
    else
        request.body = opts.body
    end
    local answer = authorized(api, request)
    local welcome = answer.status >= 200 and answer.status < 300
    for _, status in ipairs(opts.expect or {}) do welcome = welcome or status == answer.status end
    local value = body_of(answer)
    if opts.absent and answer.status == 404 and type(value) == "table" then
        welcome = (value.error or value.errorMessage) == opts.absent
    end
    if not welcome then
        local once = method == "POST" or opts.idempotent == false
        failure(api, method, path, answer, value, once)
    end
    return answer, value
end

return M
