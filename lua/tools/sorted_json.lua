--- JSON for people: the members of objects in the order of their names, so that two runs can be
-- compared. What is sent keeps the order that it has.

local json = require "host.json"

local M = {}

--- The names in an object, sorted.
-- @param object a table with strings for keys
-- @return their list
function M.names(object)
    local names = {}
    for name in pairs(object) do names[#names + 1] = name end
    table.sort(names)
    return names
end

local function put(out, value)
    local items, open, close
    if type(value) ~= "table" then
        out[#out + 1] = json.encode(value)
        return
    end
    if value[1] ~= nil or getmetatable(value) == getmetatable(json.array {}) then
        open, close, items = "[", "]", value
    else
        open, close, items = "{", "}", M.names(value)
    end
    out[#out + 1] = open
    for i, item in ipairs(items) do
        if i > 1 then out[#out + 1] = "," end
        if open == "{" then
            out[#out + 1] = json.encode(item) .. ":"
            item = value[item]
        end
        put(out, item)
    end
    out[#out + 1] = close
end

--- Encodes a value.
-- @param value as host.json.decode gives it
-- @return its JSON
-- @raise when it has no JSON form
function M.encode(value)
    local out = {}
    put(out, value)
    return table.concat(out)
end

--- The same JSON, sorted.
-- @param text of a body
-- @return it, or the text as it is if it is no JSON
function M.of(text)
    local ok, value = pcall(json.decode, text)
    return ok and type(value) == "table" and M.encode(value) or text
end

return M
