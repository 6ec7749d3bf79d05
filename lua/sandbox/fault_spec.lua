--- Reads faults as a person or a test writes them, and says what is wrong with them.

local core = require "sandbox.core"
local json = require "host.json"
local messages = require "sandbox.sqs_messages"
local queues = require "sandbox.sqs_queues"

local M = {}

local COUNT_MAX, STARS_MAX = 1000000000, 5

-- A kind of value: what it has to be, in words, and the check.

local function integer(min, max)
    return { words = ("an integer from %d to %d"):format(min, max), check = function(v)
        return math.type(v) == "integer" and v >= min and v <= max
    end }
end

local function one_of(...)
    local known = { ... }
    return { known = known, words = "one of " .. table.concat(known, ", "), check = function(v)
        for _, name in ipairs(known) do if v == name then return true end end
        return false
    end }
end

local function of_type(kind, words)
    return { words = words, check = function(v) return type(v) == kind end }
end

local TEXT, BOOLEAN = of_type("string", "a string"), of_type("boolean", "true or false")
local PROBABILITY = { words = "a number from 0 to 1", check = function(v)
    return type(v) == "number" and v >= 0 and v <= 1
end }
local BODY = { words = "a string or an object", check = function(v)
    return type(v) == "string" or type(v) == "table"
end }
local HEADERS = { words = "an object of strings", check = function(v)
    if type(v) ~= "table" then return false end
    for name, value in pairs(v) do
        if type(name) ~= "string" or not name:find("^[%w-]+$") or type(value) ~= "string"
            or value:find("%c") then
            return false
        end
    end
    return true
end }
local WHEN, RETRY_AFTER = one_of("before", "after"), integer(0, 86400)

-- What every fault may say, then each fault: its own fields, those that it needs, its defaults,
-- and the server and the operations that it is about, if not all.
local COMMON = {
    fault = TEXT, server = one_of("sqs", "keycloak"), operation = TEXT,
    times = integer(1, COUNT_MAX), probability = PROBABILITY,
    seed = integer(math.mininteger, math.maxinteger),
}
local BATCHES = { "ChangeMessageVisibilityBatch", "DeleteMessageBatch", "SendMessageBatch" }
local FAULTS = {
    answer = { fields = { status = integer(200, 599), headers = HEADERS, body = BODY,
        retry_after = RETRY_AFTER, when = WHEN }, needs = "status",
        defaults = { when = "before" } },
    throttle = { fields = { retry_after = RETRY_AFTER } },
    delay = { fields = { ms = integer(1, 600000), when = WHEN }, needs = "ms",
        defaults = { when = "before" } },
    cut = { fields = { when = WHEN }, defaults = { when = "before" } },
    truncate = { fields = { bytes = integer(0, COUNT_MAX) } },
    duplicate = { fields = {}, server = "sqs", operations = { "ReceiveMessage" } },
    fail_entries = { fields = { code = TEXT, sender_fault = BOOLEAN, message = TEXT, when = WHEN },
        server = "sqs", operations = BATCHES, defaults = { when = "before", sender_fault = false,
        code = "InternalError", message = "the sandbox was told to fail this entry" } },
    short_tokens = { fields = { seconds = integer(1, 86400) }, server = "keycloak",
        needs = "seconds" },
    revoke_tokens = { fields = {}, server = "keycloak" },
    clock_skew = { fields = { seconds = integer(-COUNT_MAX, COUNT_MAX) }, needs = "seconds" },
}

local function sorted_keys(...)
    local names = {}
    for _, map in ipairs { ... } do
        for name in pairs(map) do names[#names + 1] = name end
    end
    table.sort(names)
    return names
end

local KINDS = sorted_keys(FAULTS)
local SQS_OPERATIONS = sorted_keys(queues.OPERATIONS, messages)

local function wrong(text, ...)
    error({ fault_words = text:format(...) }, 0)
end

-- ` Did you mean "cut"?`, or the whole list.
local function instead(word, known)
    local near = type(word) == "string" and core.nearest(word, known)
    return near and (" Did you mean %q?"):format(near)
        or " It is one of: " .. table.concat(known, ", ") .. "."
end

local function shown(value)
    local ok, text = pcall(json.encode, value)
    return ok and text or tostring(value)
end

local function check_fields(given, kind)
    local known = sorted_keys(COMMON, kind.fields)
    for name, value in pairs(given) do
        local field = COMMON[name] or kind.fields[name]
        if not field then
            wrong("the fault %q has no field %q.%s", given.fault, tostring(name),
                instead(name, known))
        elseif not field.check(value) then
            wrong("%s: %s is not %s.%s", name, shown(value), field.words,
                field.known and instead(value, field.known) or "")
        end
    end
    if kind.needs and given[kind.needs] == nil then
        wrong("the fault %q needs a field %q: %s", given.fault, kind.needs,
            kind.fields[kind.needs].words)
    end
end

-- "POST /admin/realms/*/users": a star is anything but a slash.
local function to_pattern(text)
    return "^" .. text:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", "[^/]*") .. "$"
end

local function read_operation(spec, kind)
    local text = spec.operation
    if select(2, text:gsub("%*", "")) > STARS_MAX then -- each one multiplies the time of a match
        wrong("operation: %q has more than %d stars", text, STARS_MAX)
    end
    local server = text:find("/", 1, true) and "keycloak" or "sqs"
    if spec.server and spec.server ~= server then
        wrong("operation: %q is none of %s's: %s", text, spec.server, spec.server == "sqs"
            and "name one as in X-Amz-Target, for instance \"ReceiveMessage\""
            or "write a method and a path, for instance \"POST /admin/realms/*/users\"")
    end
    spec.server = server
    local pattern = to_pattern(text)
    if server == "keycloak" then
        if text:find("^/") then text, pattern = "* " .. text, "^%u+ " .. pattern:sub(2) end
        if not text:find("^[%u*]+ /%S*$") then
            wrong("operation: %q is not a method and a path, as in \"POST /admin/realms/*/users\"",
                spec.operation)
        end
        return pattern
    end
    for _, name in ipairs(kind.operations or SQS_OPERATIONS) do
        if name:find(pattern) then return pattern end
    end
    wrong("operation: the fault %q knows no %q.%s", spec.fault, text,
        instead(text, kind.operations or SQS_OPERATIONS))
end

local function read(given)
    if type(given) ~= "table" or #given > 0 then
        wrong("a fault is an object, for instance {\"fault\": \"cut\", \"times\": 1}")
    end
    local kind = FAULTS[given.fault]
    if given.fault == nil then
        wrong("a fault needs a field \"fault\".%s", instead(nil, KINDS))
    elseif not kind then
        wrong("fault: there is no fault %s.%s", shown(given.fault), instead(given.fault, KINDS))
    end
    check_fields(given, kind)
    local spec = {}
    for name, value in pairs(kind.defaults or {}) do spec[name] = value end
    for name, value in pairs(given) do spec[name] = value end
    if kind.server and spec.server and spec.server ~= kind.server then
        wrong("server: the fault %q is one of %s", spec.fault, kind.server)
    end
    spec.server = spec.server or kind.server
    local pattern = spec.operation and read_operation(spec, kind)
    if spec.probability and not spec.seed then spec.seed = math.random(0, 0x7fffffff) end
    return spec, pattern
end

--- Reads one fault.
-- @param given what came as JSON
-- @return a table of its fields, defaults included, and the pattern of its operations or nil: all
-- @return or nil, nil and words about what is wrong
function M.read(given)
    local ok, spec, pattern = pcall(read, given)
    if ok then return spec, pattern end
    if type(spec) == "table" and spec.fault_words then return nil, nil, spec.fault_words end
    error(spec, 0)
end

return M
