--- Passwords and mails to users, of the Keycloak stand-in. Calls are as in sandbox.keycloak_admin.

local answer = require "sandbox.keycloak_answer"
local json = require "host.json"
local users = require "sandbox.keycloak_users"

local UNREADABLE = "Cannot parse the JSON"

local function reset_password(c)
    local ok, given = pcall(json.decode, c.req.body or "")
    if not ok or type(given) ~= "table" then
        return answer.problem(400, "invalid_request", UNREADABLE)
    end
    if not c.may.manage then return answer.forbidden() end
    local value = given.value
    if value == nil or value == json.null then
        return answer.problem(400, "No password provided")
    end
    if value == "" then return answer.problem(400, "Empty password not allowed") end
    c.user.password = value
    local now_ms = math.floor(c.realm.users.options.now() * 1000)
    c.user.password_ms = math.max(now_ms, (c.user.password_ms or 0) + 1)
    local actions = {}
    for _, action in ipairs(c.user.requiredActions) do
        if action ~= "UPDATE_PASSWORD" then actions[#actions + 1] = action end
    end
    if given.temporary == true then actions[#actions + 1] = "UPDATE_PASSWORD" end
    c.user.requiredActions = actions
    return answer.done()
end

-- The hash and its parameters are left out.
local function credentials(c)
    if not c.may.view then return answer.forbidden() end
    local list = json.array {}
    if c.user.password_ms then
        list[1] = { id = c.user.id, type = "password", createdDate = c.user.password_ms }
    end
    return answer.found(list)
end

local function refused(words)
    return answer.plain(400, { errorMessage = words })
end

-- What stands before a mail, in Keycloak's order; nil: it can be sent.
local function mail_refused(c, actions)
    if not c.user.email then return "User email missing" end
    if not c.user.enabled then return "User is disabled" end
    if c.query.redirect_uri and not c.query.client_id then return "Client id missing" end
    local known = users.known_actions(actions)
    if #known < #actions then return "Provided invalid required actions" end
    local client = c.query.client_id
    if client and client ~= "account" and not c.realm.clients[client] then
        return "Client doesn't exist"
    end
    if c.query.redirect_uri then return "Invalid redirect uri." end -- clients here have none
    return nil
end

local function send_mail(c, actions, failed)
    if not c.may.manage then return answer.forbidden() end
    local words = mail_refused(c, actions)
    if words then return refused(words) end
    if not c.realm.sends_mail then return answer.plain(500, { errorMessage = failed }) end
    table.insert(c.realm.mails, { to = c.user.email, actions = actions })
    return answer.done()
end

local function execute_actions(c)
    local ok, list = pcall(json.decode, c.req.body or "")
    if not ok or type(list) ~= "table" then
        return answer.problem(400, "invalid_request", UNREADABLE)
    end
    return send_mail(c, list, "Failed to send execute actions email: the realm has no SMTP server"
        .. " that answers")
end

local function verify_email(c)
    return send_mail(c, {}, "Failed to send verify email")
end

return {
    ["users/*/credentials"] = { GET = credentials },
    ["users/*/reset-password"] = { PUT = reset_password },
    ["users/*/execute-actions-email"] = { PUT = execute_actions },
    ["users/*/send-verify-email"] = { PUT = verify_email },
}
