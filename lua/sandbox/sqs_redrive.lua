--- Redrive policies: which queue takes what was received too often.

local fail = require "sandbox.sqs_error"
local json = require "host.json"

local M = {}

local MEMBERS = { deadLetterTargetArn = true, maxReceiveCount = true }
local COUNT_MAX = 1000

local function refuse(text, reason, ...)
    fail("InvalidParameterValue", ("Value %s for parameter RedrivePolicy is invalid. Reason: %s.")
        :format(text, reason:format(...)))
end

--- Reads the attribute RedrivePolicy.
-- @param text what the request has: JSON in a string; "" takes the policy away
-- @param find name → queue or nil
-- @param account of the queues
-- @return {target (a name), max}, or false: none
-- @raise InvalidParameterValue
function M.read(text, find, account)
    if text == "" then return false end
    if type(text) ~= "string" then fail("SerializationException", "RedrivePolicy is no string") end
    local ok, policy = pcall(json.decode, text)
    if not ok or type(policy) ~= "table" then
        refuse(text, "Redrive policy is not a valid JSON map")
    end
    for name in pairs(policy) do
        if not MEMBERS[name] then refuse(text, "Unknown member %q", tostring(name)) end
    end
    for _, name in ipairs { "deadLetterTargetArn", "maxReceiveCount" } do
        if policy[name] == nil then
            refuse(text, "Redrive policy does not contain mandatory attribute: %s", name)
        end
    end
    local max = math.tointeger(tonumber(policy.maxReceiveCount))
    if not max or max < 1 or max > COUNT_MAX then
        refuse(text, "Invalid value for maxReceiveCount: %s, valid values are from 1 to %d both "
            .. "inclusive", tostring(policy.maxReceiveCount), COUNT_MAX)
    end
    local owner, target = tostring(policy.deadLetterTargetArn)
        :match("^arn:aws[%w-]*:sqs:[%w-]+:(%d+):([%w_.-]+)$")
    if owner ~= account or not find(target) then
        refuse(text, "Dead letter target does not exist")
    end
    return { target = target, max = max }
end

--- Whether two policies, or none (nil, false), say the same.
function M.same(a, b)
    if not a or not b then return not a and not b end
    return a.target == b.target and a.max == b.max
end

--- The attribute's text.
-- @param arn of the target
function M.show(policy, arn)
    return json.encode { deadLetterTargetArn = arn, maxReceiveCount = policy.max }
end

return M
