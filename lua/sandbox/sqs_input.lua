--- Members of a request's JSON object, of the type and in the range that SQS wants.

local fail = require "sandbox.sqs_error"
local json = require "host.json"

local M = {}

--- A member of the request.
-- @return its value, or nil if it is absent or null
-- @raise SerializationException if it is of another type
function M.given(input, name, kind)
    local value = input[name]
    if value == nil or value == json.null then return nil end
    if type(value) ~= kind then
        fail("SerializationException", ("%s is no %s"):format(name, kind))
    end
    return value
end

--- A member that must be there, and not be empty.
function M.required(input, name, kind)
    local value = M.given(input, name, kind)
    if value == nil or value == "" then
        fail("MissingParameter", ("The request must contain the parameter %s."):format(name))
    end
    return value
end

--- A number in its range, or nil.
function M.integer(input, name, min, max)
    local value = M.given(input, name, "number")
    if value == nil then return nil end
    local whole = math.tointeger(value)
    if not whole then fail("SerializationException", name .. " is no integer") end
    if whole < min or whole > max then
        fail("InvalidParameterValue", ("Value %d for parameter %s is invalid. Reason: it must be "
            .. "from %d to %d."):format(whole, name, min, max))
    end
    return whole
end

--- A list of strings, or nil.
function M.strings(input, name)
    local list = M.given(input, name, "table")
    for _, item in ipairs(list or {}) do
        if type(item) ~= "string" then
            fail("SerializationException", name .. " is no list of strings")
        end
    end
    return list
end

return M
