--- Lines in the host's log, with the message's id and trace. Fields that the configuration's `pii`
-- names are for nobody's log: do not write them.

local M = {}

--- For who looks for an error.
-- @param text a string
-- @param fields a table: name → text, number or boolean (optional); JSON logs keep their types
--   (nan, inf and integers beyond 2^53 are text)
function M.debug(text, fields) end

--- What happened.
-- @param text a string
-- @param fields a table: name → text, number or boolean (optional); JSON logs keep their types
--   (nan, inf and integers beyond 2^53 are text)
function M.info(text, fields) end

--- What somebody should look at.
-- @param text a string
-- @param fields a table: name → text, number or boolean (optional); JSON logs keep their types
--   (nan, inf and integers beyond 2^53 are text)
function M.warn(text, fields) end

--- What went wrong.
-- @param text a string
-- @param fields a table: name → text, number or boolean (optional); JSON logs keep their types
--   (nan, inf and integers beyond 2^53 are text)
function M.error(text, fields) end

return M
