--- Tokens of the Keycloak stand-in: who gets one, and what it allows.

local answer = require "sandbox.keycloak_answer"
local users = require "sandbox.keycloak_users"

local M = {}

local TOKEN_S = 300

local BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64_decode(text)
    local bits, count, out = 0, 0, {}
    for c in text:gmatch("[%w+/]") do
        bits, count = bits << 6 | BASE64:find(c, 1, true) - 1, count + 6
        if count >= 8 then
            count = count - 8
            out[#out + 1] = string.char(bits >> count & 255)
        end
    end
    return table.concat(out)
end

local function form_decode(text)
    return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex)
        return string.char(tonumber(hex, 16))
    end))
end

local function form_fields(req)
    local fields = {}
    if (req.headers["content-type"] or ""):find("^application/x%-www%-form%-urlencoded") then
        for name, value in (req.body or ""):gmatch("([^&=]+)=([^&]*)") do
            fields[form_decode(name)] = form_decode(value)
        end
    end
    return fields
end

local function client_of(realm, req, form)
    local id, secret = form.client_id, form.client_secret
    local basic = (req.headers.authorization or ""):match("^[Bb][Aa][Ss][Ii][Cc]%s+(.+)$")
    if basic then
        local user, password = base64_decode(basic):match("^([^:]*):(.*)$")
        if user then id, secret = form_decode(user), form_decode(password) end
    end
    local client = id and realm.clients[id]
    if not client or not client.enabled then return nil, "invalid_client" end
    if not secret or secret ~= client.secret then return nil, "unauthorized_client" end
    return client
end

local function forget_expired(self)
    local now = self.now()
    for text, token in pairs(self.tokens) do
        if token.till <= now then self.tokens[text] = nil end
    end
end

local function issue(self, realm, client, life_s)
    self.issued = self.issued + 1
    if self.issued % 256 == 0 then forget_expired(self) end
    local text = "standin." .. users.uuid() .. "." .. users.uuid()
    self.tokens[text] = { realm = realm, client = client, till = self.now() + life_s }
    return text
end

local function grant(self, realm, req)
    local form = form_fields(req)
    if not form.grant_type then
        return answer.problem(400, "invalid_request", "Missing form parameter: grant_type")
    end
    local grants = { client_credentials = true, password = true }
    if not grants[form.grant_type] then
        return answer.problem(400, "unsupported_grant_type", "Unsupported grant_type")
    end
    local client, why = client_of(realm, req, form)
    if not client then
        return answer.problem(401, why, "Invalid client or Invalid client credentials")
    end
    if form.grant_type == "password" then
        return answer.problem(400, "unauthorized_client",
            "Client not allowed for direct access grants")
    elseif not client.service_account then
        return answer.problem(401, "unauthorized_client",
            "Client not enabled to retrieve service account")
    end
    local short = self.faults:fire("short_tokens", "keycloak", req.operation)
    local life_s = short and short.seconds or TOKEN_S
    return answer.plain(200, {
        access_token = issue(self, realm, client, life_s), expires_in = life_s,
        refresh_expires_in = 0,
        token_type = "Bearer", ["not-before-policy"] = 0, scope = "profile email",
    })
end

--- The token endpoint of a realm.
-- @param self the stand-in: keeps `tokens`, text → {realm, client, till}
function M.endpoint(self, realm, req)
    if req.method ~= "POST" then return answer.problem(405, "HTTP 405 Method Not Allowed") end
    local status, headers, body = grant(self, realm, req)
    headers["cache-control"], headers.pragma = "no-store", "no-cache"
    return status, headers, body
end

--- What a token allows in a realm. Roles of realm-management count in the client's own realm;
-- master has a client for every other realm, named after it, whose roles count there.
function M.may(token, realm)
    local list = {}
    if token.realm == realm then
        list = token.client.roles["realm-management"] or {}
    elseif token.realm.name == "master" then
        list = token.client.realm_roles.admin and { "realm-admin" }
            or token.client.roles[realm.name .. "-realm"] or {}
    end
    local has = {}
    for _, role in ipairs(list) do has[role] = true end
    local all = has["realm-admin"]
    local manage = all or has["manage-users"] or false
    local view = manage or has["view-users"] or false
    local realm_view = all or has["view-realm"] or has["manage-realm"] or false
    local org_manage = all or has["manage-organizations"] or has["manage-realm"] or false
    return {
        org_manage = org_manage, org_view = org_manage or has["view-organizations"] or false,
        clients = all or has["view-clients"] or has["manage-clients"] or false,
        any = #list > 0, manage = manage, view = view, realm = realm_view,
        query = view or has["query-users"] or false,
        groups = view or has["query-groups"] or false,
    }
end

return M
