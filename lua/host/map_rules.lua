--- The rules of host.map, each compiled into a function: (event, fail) → value.
--
-- A rule is a path ("user.phones[1].number"), a function in `call`, or a table with one source and
-- what is to be done with what it gives:
--
--     source   [1] a path · value a constant · list rules, those without a value left out ·
--              object fields, as a map · call a function of the event, the last resort
--     when     { path, is = value | one_of = { … } | present = true | absent = true }: otherwise
--              there is no value
--     default  if there is no value        required  true: no value is an error
--     lookup   a table that the value is looked up in; what is not there is an error, unless there
--              is a default
--     transform  a name of TRANSFORMS, a list of them, or a function
--     type     "string" | "number" | "integer" | "boolean" | "table": of the source's value

local path = require "host.map_path"

local M = {}

local SHOWN_MAX = 40

--- A value in a few words, for errors.
-- @param value anything
-- @return text
function M.show(value)
    if value == nil then return "nothing" end
    if type(value) == "table" then return value[1] ~= nil and "a list" or "an object" end
    if type(value) ~= "string" then return tostring(value) end
    return ("%q"):format(#value > SHOWN_MAX and value:sub(1, SHOWN_MAX) .. "…" or value)
end

local TRANSFORMS = {
    trim = function(text) return (text:match("^%s*(.-)%s*$")) end,
    lower = require "host.keycloak_fold",
    upper = string.upper,
    digits = function(text) return (text:gsub("%D", "")) end,
    string = tostring,
    number = function(value) return tonumber(value) end,
    integer = function(value) return math.tointeger(tonumber(value)) end,
    boolean = function(value)
        local known = { ["true"] = true, ["false"] = false, ["1"] = true, ["0"] = false }
        return known[tostring(value):lower()]
    end,
}

local TAKES_ANY = { string = true, number = true, integer = true, boolean = true }

local SOURCES = { "value", "list", "object", "call" }

local KNOWN = { value = true, list = true, object = true, call = true, when = true, default = true,
    required = true, lookup = true, transform = true, type = true, [1] = true }

local TYPES = { string = true, number = true, integer = true, boolean = true, table = true }

-- ---- slips, found while the handler loads

local function slip(place, words, ...)
    error(("field %q: " .. words):format(place, ...), 0)
end

local function nearest(word, known)
    local list = {}
    for name in pairs(known) do
        if type(name) == "string" and name:sub(1, 2) == word:sub(1, 2) then
            list[#list + 1] = name
        end
    end
    table.sort(list)
    return list[1] and (": did you mean %q?"):format(list[1]) or ""
end

local function check_names(rule, place)
    for name in pairs(rule) do
        if not KNOWN[name] then
            slip(place, "%q is nothing that a rule has%s", tostring(name),
                nearest(tostring(name), KNOWN))
        end
    end
    if rule.type and not TYPES[rule.type] then
        slip(place, "there is no type %q", tostring(rule.type))
    end
    if rule.lookup ~= nil and type(rule.lookup) ~= "table" then
        slip(place, "lookup takes a table, not a %s", type(rule.lookup))
    end
end

local function one_source(rule, place)
    local found
    for _, name in ipairs(SOURCES) do
        if rule[name] ~= nil then
            if found then slip(place, "has two sources, %s and %s", found, name) end
            found = name
        end
    end
    if rule[1] ~= nil then
        if found then slip(place, "has two sources, a path and %s", found) end
        return "path"
    end
    return found or slip(place, "has no source: a path, value, list, object or call")
end

local function compile_path(text, place)
    local get, wrong = path.compile(text)
    if not get then slip(place, "%s", wrong) end
    return get
end

-- ---- sources

local compile

local function list_source(list, place, lines)
    if type(list) ~= "table" then slip(place, "list takes a list of rules") end
    local parts = {}
    for i, rule in ipairs(list) do parts[i] = compile(rule, ("%s[%d]"):format(place, i), lines) end
    return function(event, fail)
        local out = {}
        for _, part in ipairs(parts) do out[#out + 1] = part(event, fail) end
        return out
    end
end

local function call_source(fn, place)
    if type(fn) ~= "function" then slip(place, "call takes a function of the event") end
    return function(event) return fn(event) end
end

local function source_of(rule, place, lines)
    local kind = one_source(rule, place)
    if kind == "path" then return compile_path(rule[1], place), rule[1] end
    if kind == "list" then return list_source(rule.list, place, lines), "a list" end
    if kind == "object" then return M.object(rule.object, place .. ".", lines), "an object" end
    if kind == "call" then return call_source(rule.call, place), "a function" end
    local value = rule.value
    return function() return value end, "always " .. M.show(value)
end

-- ---- what is done with a value

local CONDITIONS = { is = true, one_of = true, present = true, absent = true, [1] = true }

local function condition(when, place)
    if type(when) ~= "table" or type(when[1]) ~= "string" then
        slip(place, "when takes { path, is = … }")
    end
    for name in pairs(when) do
        if not CONDITIONS[name] then
            slip(place, "%q is nothing that `when` has%s", tostring(name),
                nearest(tostring(name), CONDITIONS))
        end
    end
    local get, among = compile_path(when[1], place), nil
    if when.one_of then
        among = {}
        for _, value in ipairs(when.one_of) do among[value] = true end
    end
    return function(event)
        local value = get(event)
        if when.absent then return value == nil end
        if value == nil then return false end
        if when.is ~= nil then return value == when.is end
        return not among or among[value] == true
    end
end

local function one_transform(how, place)
    if type(how) == "function" then return { apply = how, name = "a function" } end
    if not TRANSFORMS[how] then
        slip(place, "there is no transform %q%s", tostring(how), nearest(tostring(how), TRANSFORMS))
    end
    return { apply = TRANSFORMS[how], name = how, texts_only = not TAKES_ANY[how] }
end

local function transforms(how, place)
    local list = {}
    for i, one in ipairs(type(how) == "table" and how or { how }) do
        list[i] = one_transform(one, place)
    end
    return function(value, from, fail)
        for _, one in ipairs(list) do
            local result
            if not one.texts_only or type(value) == "string" then result = one.apply(value) end
            if result == nil then
                fail(place, ("%s: %s cannot be made of %s"):format(from, one.name, M.show(value)))
            end
            value = result
        end
        return value
    end
end

local function is_a(value, wanted)
    if wanted == "integer" then return math.type(value) == "integer" end
    return type(value) == wanted
end

-- What the rule does beside its source, for host.map.describe.
local function say(rule)
    local words = {}
    for _, name in ipairs { "required", "default", "lookup", "transform", "type", "when" } do
        local value = rule[name]
        if name == "required" and value or name == "lookup" and value then
            words[#words + 1] = name
        elseif name == "when" and value then
            words[#words + 1] = "when " .. value[1]
        elseif value ~= nil then
            words[#words + 1] = name .. " " .. (type(value) == "table" and "of several"
                or type(value) == "function" and "a function" or M.show(value))
        end
    end
    return table.concat(words, ", ")
end

local function looked_up(rule, value, place, from, fail)
    local result = rule.lookup[value]
    if result == nil and rule.default == nil then
        fail(place, ("%s: %s is not in its lookup table"):format(from, M.show(value)))
    end
    return result
end

--- Compiles one rule.
-- @param rule the rule
-- @param place the field that it is for, for errors
-- @param lines gets a line on it (host.map.describe)
-- @return the function
function compile(rule, place, lines)
    if type(rule) == "string" then rule = { rule } end
    if type(rule) ~= "table" then
        slip(place, "a rule is a path or a table, not a %s", type(rule))
    end
    check_names(rule, place)
    local line = { field = place }
    lines[#lines + 1] = line
    local get, from = source_of(rule, place, lines)
    local holds = rule.when and condition(rule.when, place)
    local transform = rule.transform and transforms(rule.transform, place)
    line.from, line.rule = from, say(rule)
    return function(event, fail)
        if holds and not holds(event) then return nil end
        local value = get(event, fail)
        if value ~= nil and rule.type and not is_a(value, rule.type) then
            fail(place, ("%s: expected a %s, found %s"):format(from, rule.type, M.show(value)))
        end
        if value ~= nil and rule.lookup then
            value = looked_up(rule, value, place, from, fail)
        end
        if value ~= nil and transform then value = transform(value, from, fail) end
        if value == nil then value = rule.default end
        if value == nil and rule.required then
            fail(place, ("%s is required, found nothing"):format(from))
        end
        return value
    end
end

--- Compiles the fields of an object.
-- @param fields field → rule
-- @param prefix of the field's names in errors
-- @param lines gets a line a field
-- @return a function: (event, fail) → the object
function M.object(fields, prefix, lines)
    if type(fields) ~= "table" then error("takes a table of rules, not a " .. type(fields), 0) end
    local names, parts = {}, {}
    for name in pairs(fields) do
        if type(name) ~= "string" then
            error(("%s%s: a field has a name"):format(prefix, tostring(name)), 0)
        end
        names[#names + 1] = name
    end
    table.sort(names)
    for i, name in ipairs(names) do parts[i] = compile(fields[name], prefix .. name, lines) end
    return function(event, fail)
        local out = {}
        for i, name in ipairs(names) do out[name] = parts[i](event, fail) end
        return out
    end
end

return M
