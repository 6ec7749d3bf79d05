--- Shapes for events: what an event must look like, said once, checked in one call.
--
--     local v = require "host.validate"
--     local Event = v.object {
--         user = v.object { username = v.string { min = 3 }, email = v.email,
--                           age = v.optional(v.integer { min = 0 }) },
--         kind = v.one_of { "created", "updated" },
--         tags = v.optional(v.list(v.string)),
--     }
--     function M.handle(msg)
--         local event = v.check(Event, msg.json) -- an event of another shape is rejected
--
-- A shape is a function: value → nothing, or a list of {path, words}. v.string, v.number and
-- v.integer are shapes as they stand, and take limits when called with a table.

local host = require "host"

local M = {}

local SHOWN_MAX = 40

local function show(value)
    if value == nil then return "nothing" end
    if type(value) ~= "string" then
        return type(value) == "table" and (value[1] ~= nil and "a list" or "an object")
            or tostring(value)
    end
    return ("%q"):format(#value > SHOWN_MAX and value:sub(1, SHOWN_MAX) .. "…" or value)
end

local function problem(words, value)
    return { { path = "", words = ("expected %s, got %s"):format(words, show(value)) } }
end

-- A shape that takes limits: call it with a value and it checks, with a table of limits and there
-- is a new shape. Values are never tables here.
local function scalar(make)
    local plain = make {}
    return function(given)
        if type(given) == "table" then return make(given) end
        return plain(given)
    end
end

local function length(text)
    return utf8.len(text) or #text
end

local function string_words(limits)
    if limits.min and limits.max then
        return ("a text of %d to %d characters"):format(limits.min, limits.max)
    elseif limits.max then
        return ("a text of at most %d characters"):format(limits.max)
    end
    return limits.min and ("a text of at least %d characters"):format(limits.min) or "a text"
end

--- A text. Limits: min, max (characters), pattern (a Lua pattern), words (what to call it).
M.string = scalar(function(limits)
    local words = limits.words or string_words(limits)
    return function(value)
        local good = type(value) == "string"
            and (not limits.min or length(value) >= limits.min)
            and (not limits.max or length(value) <= limits.max)
            and (not limits.pattern or value:find(limits.pattern))
        if not good then return problem(words, value) end
    end
end)

local function range(words, limits)
    if limits.min then words = words .. (" of at least %s"):format(limits.min) end
    if limits.max then
        words = words .. (" %s at most %s"):format(limits.min and "and" or "of", limits.max)
    end
    return words
end

local function number(words, is)
    return scalar(function(limits)
        local text = range(words, limits)
        return function(value)
            if not is(value) or limits.min and value < limits.min
                or limits.max and value > limits.max then
                return problem(text, value)
            end
        end
    end)
end

--- A number. Limits: min, max.
M.number = number("a number", function(value) return type(value) == "number" end)

--- A whole number. Limits: min, max.
M.integer = number("a whole number", function(value) return math.type(value) == "integer" end)

--- true or false.
function M.boolean(value)
    if type(value) ~= "boolean" then return problem("true or false", value) end
end

--- Anything that is there.
function M.any(value)
    if value == nil then return problem("a value", value) end
end

--- An e-mail address: one @ with something before it and a host name behind it. Whether mail
-- arrives there, no pattern can tell.
function M.email(value)
    if type(value) ~= "string" or #value > 254
        or not value:find("^[^%s@<>,;:\"()%[%]\\%c]+@[%w\128-\255][%w%-.\128-\255]*$")
        or value:find("..", 1, true) or value:find("[.-]$") then
        return problem("an e-mail address", value)
    end
end

--- One of a list of values.
-- @param list the values
-- @return a shape
function M.one_of(list)
    local known, names = {}, {}
    for i, value in ipairs(list) do known[value], names[i] = true, show(value) end
    local words = "one of " .. table.concat(names, ", ")
    return function(value)
        if value == nil or not known[value] then return problem(words, value) end
    end
end

--- A shape, or nothing.
-- @param shape the shape
-- @return a shape
function M.optional(shape)
    return function(value)
        if value ~= nil then return shape(value) end
    end
end

local function add(list, path, problems)
    for _, p in ipairs(problems or {}) do
        local join = (p.path == "" or p.path:sub(1, 1) == "[" or path == "") and "" or "."
        list[#list + 1] = { path = path .. join .. p.path, words = p.words }
    end
end

local function found(list)
    if list[1] then return list end
end

--- A list. Limits: min, max (of its length).
-- @param shape of each of its values
-- @param limits (optional)
-- @return a shape
function M.list(shape, limits)
    limits = limits or {}
    local words = range("a list", { min = limits.min, max = limits.max })
    return function(value)
        if type(value) ~= "table" or next(value) ~= nil and value[1] == nil
            or limits.min and #value < limits.min or limits.max and #value > limits.max then
            return problem(words, value)
        end
        local list = {}
        for i, one in ipairs(value) do add(list, ("[%d]"):format(i), shape(one)) end
        return found(list)
    end
end

--- An object with these fields; others are let pass, unless `closed` is true.
-- @param fields name → shape
-- @param closed true: a field that is not named is an error
-- @return a shape
function M.object(fields, closed)
    local names = {}
    for name, shape in pairs(fields) do
        if type(shape) ~= "function" then
            error(("the field %q has no shape but a %s"):format(tostring(name), type(shape)), 2)
        end
        names[#names + 1] = name
    end
    table.sort(names)
    return function(value)
        if type(value) ~= "table" then return problem("an object", value) end
        local list = {}
        for _, name in ipairs(names) do add(list, name, fields[name](value[name])) end
        for name in pairs(closed and value or {}) do
            if not fields[name] then
                add(list, tostring(name), { { path = "", words = "is no field of this" } })
            end
        end
        return found(list)
    end
end

--- All that is wrong with a value.
-- @param shape the shape
-- @param value what to look at
-- @return nil, or a list of "path: words"
function M.problems(shape, value)
    local list
    for i, p in ipairs(shape(value) or {}) do
        list = list or {}
        list[i] = p.path == "" and p.words or p.path .. ": " .. p.words
    end
    return list
end

--- The value, if it has the shape.
-- @param shape the shape
-- @param value what to look at
-- @return the value
-- @raise "invalid", not retryable: its message names each place; the error's `problems` lists them
function M.check(shape, value)
    local list = M.problems(shape, value)
    if not list then return value end
    host.error { kind = "invalid", retryable = false, problems = list,
        message = "the event is not as it should be: " .. table.concat(list, "; ") }
end

return M
