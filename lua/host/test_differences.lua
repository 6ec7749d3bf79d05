--- How two values differ, in words: one line a place. For host.test.

local M = {}

local SHOWN_MAX, DEPTH_MAX, LINES_MAX = 200, 20, 20

local function by_text(a, b)
    if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
    return tostring(a) < tostring(b)
end

local function keys_of(t)
    local list = {}
    for key in pairs(t) do list[#list + 1] = key end
    table.sort(list, by_text)
    return list
end

local function field(key)
    if type(key) == "string" and key:find("^[%a_][%w_]*$") then return key end
    return ("[%s]"):format(type(key) == "string" and ("%q"):format(key) or tostring(key))
end

local function show(value, depth)
    if type(value) == "string" then return ("%q"):format(value) end
    if type(value) ~= "table" then return tostring(value) end
    if depth > 3 then return "{…}" end
    local parts, last = {}, #value
    for i = 1, last do parts[i] = show(value[i], depth + 1) end
    for _, key in ipairs(keys_of(value)) do
        if not (math.type(key) == "integer" and key >= 1 and key <= last) then
            parts[#parts + 1] = field(key) .. " = " .. show(value[key], depth + 1)
        end
    end
    return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end

--- A value in one line, as Lua would write it, cut when long.
-- @param value anything
-- @return text
function M.show(value)
    local text = show(value, 1)
    if #text <= SHOWN_MAX then return text end
    return text:sub(1, utf8.offset(text, 0, SHOWN_MAX) - 1) .. "…"
end

local function add(list, path, actual, expected)
    local place = path == "" and "" or path .. ": "
    if type(actual) ~= type(expected) and tostring(actual) == tostring(expected) then
        list[#list + 1] = ("%sexpected the %s %s, got the %s"):format(place, type(expected),
            M.show(expected), type(actual))
    else
        list[#list + 1] = ("%sexpected %s, got %s"):format(place, M.show(expected),
            M.show(actual))
    end
end

local function inner(path, key)
    local name = field(key)
    if path == "" or name:sub(1, 1) == "[" then return path .. name end
    return path .. "." .. name
end

local compare

local function compare_tables(list, path, actual, expected, depth)
    local seen = {}
    for _, key in ipairs(keys_of(expected)) do
        seen[key] = true
        compare(list, inner(path, key), actual[key], expected[key], depth + 1)
    end
    for _, key in ipairs(keys_of(actual)) do
        if not seen[key] then add(list, inner(path, key), actual[key], nil) end
    end
end

function compare(list, path, actual, expected, depth)
    if rawequal(actual, expected) or #list > LINES_MAX then return end
    if type(actual) == "table" and type(expected) == "table" and depth <= DEPTH_MAX then
        compare_tables(list, path, actual, expected, depth)
    elseif actual ~= expected then
        add(list, path, actual, expected)
    end
end

--- The differences between two values.
-- @param actual what came
-- @param expected what should
-- @return a list of lines; empty if there are none
function M.of(actual, expected)
    local list = {}
    compare(list, "", actual, expected, 1)
    if #list > LINES_MAX then
        for i = LINES_MAX + 1, #list do list[i] = nil end
        list[#list + 1] = "and more"
    end
    return list
end

return M
