--- Paths into an event: "user.email", "user.phones[1].number", "data[\"given name\"]". Lists count
-- from 1, as Lua does; [-1] is the last one.

local M = {}

local function key_at(text, at)
    local name, next_at = text:match("^%.?([%a_\128-\255][%w_%-\128-\255]*)()", at)
    if name then return name, next_at end
    local index
    index, next_at = text:match("^%[(%-?%d+)%]()", at)
    if index then return math.tointeger(index), next_at end
    name, next_at = text:match('^%["([^"]*)"%]()', at)
    return name, next_at
end

local function keys_of(text)
    local keys, at = {}, 1
    while at <= #text do
        local key, next_at = key_at(text, at)
        local joined = text:find("^[.[]", at) ~= nil
        if key == nil or key == 0 or at > 1 and not joined or at == 1 and text:find "^%." then
            return nil, at
        end
        keys[#keys + 1], at = key, next_at
    end
    return keys[1] ~= nil and keys or nil, at
end

local function step(value, key)
    if type(value) ~= "table" then return nil end
    if math.type(key) == "integer" and key < 0 then return value[#value + 1 + key] end
    return value[key]
end

--- Compiles a path.
-- @param text the path
-- @return a function: event → the value there, or nil; or nil and what is wrong with the path
function M.compile(text)
    if type(text) ~= "string" then
        return nil, ("a path is a text like \"user.email\", not a %s"):format(type(text))
    end
    local keys, at = keys_of(text)
    if not keys then
        return nil, ("the path %q cannot be read from its character %d on: write it like "
            .. "user.phones[1].number"):format(text, at)
    end
    return function(event)
        local value = event
        for _, key in ipairs(keys) do
            value = step(value, key)
            if value == nil then return nil end
        end
        return value
    end
end

return M
