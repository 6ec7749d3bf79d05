--- The users of one realm of the Keycloak stand-in: what is kept, what is refused, what is found.
--
-- Answers are those of Keycloak 26.7.4 as measured. A refusal is returned as {status, body}; the
-- HTTP side is in sandbox.keycloak. Look-ups by id, name and e-mail are one table access each, so
-- that 50,000 users cost what ten do.

local fold = require "host.keycloak_fold"
local json = require "host.json"

local M = {}
M.__index = M

local NAME_FORBIDDEN = "[%c%s<>&\"'$%%!#?,;:*~/\\|^=%[%]{}()`]"
local PERSON_FORBIDDEN = "[%c<>&\"$%%!#?;*~/\\|^=%[%]{}()]"
local PERSON_FORBIDDEN_TOO = "\xC2[\x85\xA7]" -- U+0085 and § in UTF-8

--- A random version 4 UUID.
function M.uuid()
    return (("xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx"):gsub("[xy]", function(c)
        return ("%x"):format(c == "x" and math.random(0, 15) or math.random(8, 11))
    end))
end

-- Names are Latin letters and what all scripts share; a Cyrillic "а" that looks like Latin is not.
local function foreign_letter(text)
    for _, c in utf8.codes(text) do
        if c >= 0x370 and c <= 0x1DFF or c >= 0x1F00 and c <= 0x1FFF or c >= 0x2E80 and c <= 0xD7FF
            or c == 0xA7 or c == 0x85 or c == 0xA0 or c == 0x130 then
            return true
        end
    end
    return false
end

local function local_part_ok(part)
    if part:find('^".+"$') then return true end
    return #part <= 64 and part ~= "" and not part:find("^%.") and not part:find("%.$")
        and not part:find("..", 1, true) and not part:find("[%c%s<>()%[%],;:\\\"@]")
end

local function domain_ok(domain)
    if domain:find("^%[[%d.:%a]+%]$") then return true end
    if domain == "" or #domain > 255 then return false end
    for label in (domain .. "."):gmatch("(.-)%.") do
        if label == "" or #label > 63 or label:find("^%-") or label:find("%-$")
            or label:find("[^%w%-\128-\255]") then
            return false
        end
    end
    return true
end

local function email_ok(email)
    local at = email:match(".*()@")
    return at ~= nil and local_part_ok(email:sub(1, at - 1)) and domain_ok(email:sub(at + 1))
end

local function check_person(problems, field, value)
    if not value then return end
    if (utf8.len(value) or #value) > 255 then
        problems[#problems + 1] = { field = field, errorMessage = "error-invalid-length-too-long",
            params = json.array { field, json.null, 255 } }
    end
    if value:find(PERSON_FORBIDDEN) or value:find(PERSON_FORBIDDEN_TOO) then
        problems[#problems + 1] = { field = field,
            errorMessage = "error-person-name-invalid-character", params = json.array { field } }
    end
end

local function check_username(problems, name)
    local length = utf8.len(name) or #name
    if length < 3 or length > 255 then
        problems[#problems + 1] = { field = "username", errorMessage = "error-invalid-length",
            params = json.array { "username", 3, 255 } }
    end
    if name:find(NAME_FORBIDDEN) or not utf8.len(name) or foreign_letter(name) then
        problems[#problems + 1] = { field = "username",
            errorMessage = "error-username-invalid-character", params = json.array { "username" } }
    end
end

local function check_email(problems, email)
    if (utf8.len(email) or #email) > 255 then
        problems[#problems + 1] = { field = "email", errorMessage = "error-invalid-length-too-long",
            params = json.array { "email", json.null, 255 } }
    end
    if not email_ok(email) then
        problems[#problems + 1] = { field = "email", errorMessage = "error-invalid-email",
            params = json.array { "email", email } }
    end
end

local function refusal(problems)
    if #problems == 0 then return nil end
    if #problems == 1 then return { 400, problems[1] } end
    return { 400, { errors = json.array(problems) } }
end

--- An empty store.
-- @param options email_as_username, edit_username, keep_attributes (unmanaged ones), now
function M.new(options)
    return setmetatable({ options = options, by_id = {}, by_name = {}, by_email = {}, count = 0,
        sorted = nil }, M)
end

-- null and "" are "none"; numbers and booleans are text, as Keycloak's JSON reader takes them.
local function text(value)
    if value == nil or value == json.null or value == "" then return nil end
    return tostring(value)
end

local function boolean(value, default)
    if value == nil or value == json.null then return default end
    return value == true or value == "true" or type(value) == "number" and value ~= 0
end

local function clash(self, name, email, except)
    local by_email = email and self.by_email[email]
    if by_email and by_email ~= except then
        return { 409, { errorMessage = "User exists with same email" } }
    end
    local by_name = name and self.by_name[name]
    if by_name and by_name ~= except then
        return { 409, { errorMessage = "User exists with same username" } }
    end
    return nil
end

-- First and last name may also come as attributes, the way Keycloak's own forms send them.
local function managed(rep, field)
    local value = text(rep[field])
    local attribute = type(rep.attributes) == "table" and rep.attributes[field]
    if not value and type(attribute) == "table" then value = text(attribute[1]) end
    return value
end

local MANAGED = { username = true, email = true, firstName = true, lastName = true }

local function unmanaged(self, rep)
    if not self.options.keep_attributes or type(rep.attributes) ~= "table" then return nil end
    local kept = {}
    for name, values in pairs(rep.attributes) do
        if not MANAGED[name] then
            kept[name] = type(values) == "table" and values or json.array { tostring(values) }
        end
    end
    return next(kept) ~= nil and kept or nil
end

local ACTIONS = { VERIFY_EMAIL = true, UPDATE_PASSWORD = true, UPDATE_PROFILE = true,
    CONFIGURE_TOTP = true, TERMS_AND_CONDITIONS = true, VERIFY_PROFILE = true }

--- Those of a list that Keycloak knows.
function M.known_actions(list)
    local out = {}
    for _, action in ipairs(type(list) == "table" and list or {}) do
        if ACTIONS[action] then out[#out + 1] = action end
    end
    return out
end

--- Puts a user into a group.
function M.join(user, group)
    user.groups[group.id], group.members[user.id] = group, user
end

--- Keeps a user that the caller has looked at already (or that a realm file brings).
function M:insert(user)
    self.by_id[user.id], self.by_name[user.username] = user, user
    if user.email then self.by_email[user.email] = user end
    self.count, self.sorted = self.count + 1, nil
    return user
end

--- A user from a representation, unchecked and not yet kept.
function M:build(rep)
    local email = text(rep.email)
    local now_ms = math.floor(self.options.now() * 1000)
    return {
        id = M.uuid(), username = fold(text(rep.username) or email),
        email = email and fold(email),
        firstName = managed(rep, "firstName"), lastName = managed(rep, "lastName"),
        enabled = boolean(rep.enabled, false), emailVerified = boolean(rep.emailVerified, false),
        createdTimestamp = math.tointeger(tonumber(text(rep.createdTimestamp) or now_ms)) or now_ms,
        requiredActions = M.known_actions(rep.requiredActions), attributes = unmanaged(self, rep),
        groups = {}, roles = {}, client_roles = {},
    }
end

--- Checks a new user in Keycloak's order: name missing, taken, invalid.
-- @return the user, not yet kept; or nil and the refusal
function M:check_new(rep)
    local email = text(rep.email)
    local name = text(rep.username)
    if self.options.email_as_username and email then name = email end
    if not name or not name:find("%S") or self.options.email_as_username and rep.email == "" then
        return nil, { 400, { errorMessage = "User name is missing" } }
    end
    local taken = clash(self, fold(name), email and fold(email))
    if taken then return nil, taken end
    local problems = {}
    if self.options.email_as_username and not email then
        problems[1] = { field = "email", errorMessage = "error-user-attribute-required",
            params = json.array { "email" } }
    elseif not self.options.email_as_username then
        check_username(problems, name)
    end
    if email then check_email(problems, email) end
    check_person(problems, "firstName", managed(rep, "firstName"))
    check_person(problems, "lastName", managed(rep, "lastName"))
    local refused = refusal(problems)
    if refused then return nil, refused end
    local user = self:build(rep)
    user.username = fold(name)
    return user
end

-- What PUT makes of the four managed fields: members that are not given stay, unless `attributes`
-- is given, which replaces them too.
local function merged(user, rep)
    local replaced = type(rep.attributes) == "table"
    local function field(name)
        if rep[name] == nil or rep[name] == json.null then
            if replaced then return managed(rep, name) end
            return user[name]
        end
        return text(rep[name])
    end
    return { email = field("email"), firstName = field("firstName"), lastName = field("lastName") }
end

local function check_change(self, user, rep, fresh)
    local name = text(rep.username)
    local renamed = name and fold(name) ~= user.username and not self.options.email_as_username
    local taken = clash(self, renamed and fold(name) or nil, fresh.email and fold(fresh.email),
        user)
    if taken then return taken end
    local problems = {}
    if renamed and not self.options.edit_username then
        problems[1] = { field = "username", errorMessage = "error-user-attribute-read-only",
            params = json.array { "username" } }
    elseif renamed then
        check_username(problems, name)
    end
    if fresh.email then check_email(problems, fresh.email) end
    check_person(problems, "firstName", fresh.firstName)
    check_person(problems, "lastName", fresh.lastName)
    return refusal(problems), renamed and fold(name)
end

--- Changes a user as PUT does.
-- @return nothing, or the refusal
function M:change(user, rep)
    local fresh = merged(user, rep)
    if self.options.email_as_username and not fresh.email then
        return { 400, { errorMessage = "User name is missing" } }
    end
    local refused, name = check_change(self, user, rep, fresh)
    if refused then return refused end
    if user.email then self.by_email[user.email] = nil end
    self.by_name[user.username] = nil
    user.email = fresh.email and fold(fresh.email)
    user.username = self.options.email_as_username and user.email or name or user.username
    user.firstName, user.lastName = fresh.firstName, fresh.lastName
    user.enabled = boolean(rep.enabled, user.enabled)
    user.emailVerified = boolean(rep.emailVerified, user.emailVerified)
    if type(rep.attributes) == "table" then user.attributes = unmanaged(self, rep) end
    if type(rep.requiredActions) == "table" then
        user.requiredActions = M.known_actions(rep.requiredActions)
    end
    self.by_name[user.username] = user
    if user.email then self.by_email[user.email] = user end
    self.sorted = nil
    return nil
end

--- Forgets a user.
function M:remove(user)
    self.by_id[user.id], self.by_name[user.username] = nil, nil
    if user.email then self.by_email[user.email] = nil end
    self.count, self.sorted = self.count - 1, nil
end

-- Every user, in the order of their names.
function M:all()
    if not self.sorted then
        local list = {}
        for _, user in pairs(self.by_id) do list[#list + 1] = user end
        table.sort(list, function(a, b) return a.username < b.username end)
        self.sorted = list
    end
    return self.sorted
end

-- Names of people are kept as they came, user name and e-mail folded.
local function folded_field(user, field)
    local value = user[field]
    if value and field ~= "username" and field ~= "email" then return fold(value) end
    return value
end

-- `search`: a prefix by default, "*x*" anywhere, "x" in quotes whole.
local function search_test(search)
    local folded = fold(search)
    local whole = folded:match('^"(.*)"$')
    local pattern = "^" .. folded:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*")
    return function(user)
        if user.service_account then return false end
        for _, field in ipairs { "username", "email", "firstName", "lastName" } do
            local value = folded_field(user, field)
            if value and (whole and value == whole or not whole and value:find(pattern)) then
                return true
            end
        end
        return false
    end
end

local function filter_test(query)
    local exact = query.exact == "true"
    return function(user)
        for _, field in ipairs { "username", "email", "firstName", "lastName" } do
            local wanted = query[field] and query[field] ~= "" and fold(query[field])
            local value = folded_field(user, field) or ""
            if wanted and (exact and value ~= wanted or not value:find(wanted, 1, true)) then
                return false
            end
        end
        if query.q then
            local name, value = query.q:match("^([^:]*):(.*)$")
            local has = user.attributes and user.attributes[name]
            if not has or has[1] ~= value then return false end
        end
        return (not query.enabled or tostring(user.enabled) == query.enabled)
            and (not query.emailVerified or tostring(user.emailVerified) == query.emailVerified)
    end
end

-- The only account that an exact filter can mean, without looking at the others.
local function direct(self, query)
    if query.exact ~= "true" or query.search then return nil end
    local index, value = self.by_name, query.username
    if not value or value == "" then index, value = self.by_email, query.email end
    if not value or value == "" then return nil end
    return { index[fold(value)] }
end

local FILTERS = { "username", "email", "firstName", "lastName", "q", "enabled", "emailVerified" }

--- The users that a query of GET /users or /users/count means, in the order of their names.
-- Without any filter service accounts are left out, as Keycloak does.
function M:select(query)
    local test = query.search and search_test(query.search) or filter_test(query)
    local filtered = query.search ~= nil
    for _, name in ipairs(FILTERS) do filtered = filtered or query[name] ~= nil end
    local out = {}
    for _, user in ipairs(direct(self, query) or self:all()) do
        if (filtered or not user.service_account) and test(user) then out[#out + 1] = user end
    end
    return out
end

return M
