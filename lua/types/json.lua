--- JSON, strictly: integers are exact, `[]` stays an array, NaN, single quotes and bad UTF-8 are
-- refused.

local M = {}

--- Reads JSON.
-- @param text a string
-- @param options a table: big_integers = "string" (else one that is too big is an error), nulls =
--   "drop" (else they are json.null), depth (most levels); optional
-- @return the value
-- @raise json, with line and column
function M.decode(text, options) end

--- Writes JSON. A table is an array if it has the keys 1 to n, or was marked as one.
-- @param value anything that JSON can hold
-- @return a string
-- @raise json, naming what it cannot hold
function M.encode(value) end

--- Marks a table as an array, so that an empty one is [].
-- @param list a table (optional: a new one)
-- @return a table: the same
function M.array(list) end

--- Marks a table as an object, so that an empty one is {}.
-- @param fields a table (optional: a new one)
-- @return a table: the same
function M.object(fields) end

--- JSON's null.
-- @type any
M.null = nil

return M
