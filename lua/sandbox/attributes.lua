--- Message attributes as SQS takes, digests and returns them.

local crypto = require "host.crypto"
local fail = require "sandbox.sqs_error"

local M = {}

local COUNT_MAX = 10
local NAME_MAX_BYTES = 256

local function invalid(text, ...)
    fail("InvalidParameterValue", text:format(...))
end

local function check_name(name)
    local folded = name:lower()
    if #name == 0 or #name > NAME_MAX_BYTES or name:find("[^%w_.-]") or name:find("..", 1, true)
        or name:find("^%.") or name:find("%.$") or folded:find("^aws%.")
        or folded:find("^amazon%.") then
        invalid("the message attribute name %q is not allowed", name)
    end
end

--- Whether a text has characters that SQS takes nowhere: control characters, U+FFFE, U+FFFF.
function M.refused(text)
    return (text:find("[\0-\8\11\12\14-\31]") or text:find("\xEF\xBF[\xBE\xBF]")) ~= nil
end

local function is_number(text)
    local digits = text:match("^%s*[+-]?([%d.]+)%s*$")
        or text:match("^%s*[+-]?([%d.]+)[eE][+-]?%d+%s*$")
    return digits and digits:find("^%d*%.?%d*$") and digits:find("%d")
        and #digits:gsub("%.", "") <= 38
end

local function value_of(name, kind, attribute)
    if kind == "Binary" then
        local bytes = type(attribute.BinaryValue) == "string"
            and crypto.unbase64(attribute.BinaryValue)
        if not bytes then
            fail("SerializationException", ("BinaryValue of %q is no base64"):format(name))
        end
        return bytes
    end
    local text = attribute.StringValue
    if type(text) ~= "string" then invalid("the message attribute %q has no StringValue", name) end
    if M.refused(text) then
        invalid("the message attribute %q contains characters that are not allowed", name)
    end
    if kind == "Number" and not is_number(text) then
        invalid("the message attribute %q is no number", name)
    end
    return text
end

--- Checks attributes and brings them into the order of their digest.
-- @param given the request's map, or nil
-- @return a list of {name, type, value (bytes), binary}, its size in bytes
-- @raise an SQS error
function M.read(given)
    local list, size = {}, 0
    if given == nil then return list, size end
    if type(given) ~= "table" then fail("SerializationException", "MessageAttributes is no map") end
    for name, attribute in pairs(given) do
        if type(attribute) ~= "table" then
            fail("SerializationException", "a message attribute is no structure")
        end
        local kind = type(attribute.DataType) == "string"
            and (attribute.DataType:match("^(%a+)$") or attribute.DataType:match("^(%a+)%..+$"))
        check_name(name)
        if (kind ~= "String" and kind ~= "Number" and kind ~= "Binary")
            or #attribute.DataType > NAME_MAX_BYTES then
            invalid("the message attribute %q has no valid DataType: String, Number, Binary, "
                .. "maybe with a label after a dot", name)
        end
        local value = value_of(name, kind, attribute)
        if #value == 0 then invalid("the message attribute %q is empty", name) end
        list[#list + 1] = { name = name, type = attribute.DataType, value = value,
            binary = kind == "Binary" }
        size = size + #name + #attribute.DataType + #value
    end
    if #list > COUNT_MAX then
        invalid("Number of message attributes [%d] exceeds the allowed maximum [%d].", #list,
            COUNT_MAX)
    end
    table.sort(list, function(a, b) return a.name < b.name end)
    return list, size
end

--- The digest that SDKs check.
-- @param list what read returned, or a part of it
-- @return hex MD5, nil for an empty list
function M.md5(list)
    if #list == 0 then return nil end
    local parts = {}
    for _, a in ipairs(list) do
        parts[#parts + 1] = (">s4s4Bs4"):pack(a.name, a.type, a.binary and 2 or 1, a.value)
    end
    return crypto.hex(crypto.md5(table.concat(parts)))
end

--- Those that a receive asked for.
-- @param list all of the message
-- @param names the request's list: names, "All", ".*", "prefix.*"; or nil: none
-- @return a list
function M.select(list, names)
    local chosen = {}
    if not names or #list == 0 then return chosen end
    for _, wanted in ipairs(names) do
        if wanted == "All" or wanted == ".*" then return list end
    end
    for _, a in ipairs(list) do
        for _, wanted in ipairs(names) do
            local prefix = wanted:match("^(.*)%.%*$")
            if a.name == wanted or (prefix and a.name:sub(1, #prefix) == prefix) then
                chosen[#chosen + 1] = a
                break
            end
        end
    end
    return chosen
end

--- The map of an answer.
-- @param list of attributes, not empty
function M.show(list)
    local shown = {}
    for _, a in ipairs(list) do
        shown[a.name] = { DataType = a.type, StringValue = not a.binary and a.value or nil,
            BinaryValue = a.binary and crypto.base64(a.value) or nil }
    end
    return shown
end

return M
