--- A mapping as data: which field of the event becomes which field of the request.
--
--     local map = require "host.map"
--     local to_user = map {
--         username  = "user.username",
--         email     = { "user.email", required = true, transform = "lower" },
--         firstName = { "user.first_name", default = "" },
--         phone     = "user.phones[1].number",
--         country   = { "user.country", lookup = { de = "Germany", at = "Austria" } },
--         enabled   = { value = true },
--         groups    = { list = { { value = "/customers" },
--                                { value = "/vip", when = { "user.tier", is = "vip" } } } },
--         attributes = { object = { source = { value = "import" } } },
--         lastName  = { call = function(event) return event.user.names[2] end },
--     }
--     local user = to_user(msg.json)
--
-- The table is looked at while the handler loads: a slip in it is an error with the field's name. A
-- field of the event that is not there leaves the field of the request out, unless the rule has a
-- default or says `required`.

local host = require "host"
local rules = require "host.map_rules"

local M = {}

local Map = {}
Map.__index = Map

local function fail(place, words)
    host.error { kind = "map", retryable = false, message = place .. ": " .. words, field = place }
end

--- Maps an event.
-- @param event a table, as msg.json gives it
-- @return the request's fields, a new table
-- @raise "map", not retryable: field, path, what was expected and what was found
function Map:__call(event)
    if type(event) ~= "table" then
        fail("the event", ("expected an object, found %s"):format(rules.show(event)))
    end
    return self.run(event, fail)
end

--- What a map does, one field a line: { field =, from =, rule = }.
-- @param mapping a map
-- @return a list, sorted by field
function M.describe(mapping)
    if getmetatable(mapping) ~= Map then error("map.describe takes what map{…} returned", 2) end
    return mapping.lines
end

--- Makes a map of a table of rules: also `map {…}`.
-- @param fields field → rule; see the head of this file and host.map_rules
-- @return a map: call it with an event
-- @raise a Lua error that names the field whose rule is wrong
function M.compile(fields)
    local lines = {}
    local ok, run = pcall(rules.object, fields, "", lines)
    if not ok then error("host.map: " .. tostring(run), 2) end
    return setmetatable({ run = run, lines = lines }, Map)
end

return setmetatable(M, { __call = function(_, fields)
    local ok, mapping = pcall(M.compile, fields)
    if not ok then error(mapping, 2) end
    return mapping
end })
