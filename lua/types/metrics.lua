--- A handler's own numbers at /metrics, declared while it loads.
--
--     local signups = metrics.counter { name = "signups_total", help = "accounts made",
--                                       labels = { "realm" } }
--     signups:inc({ realm = "customers" })

local M = {}

--- A declared metric. `labels` is a table with a value for each declared name.
-- @class host.metrics.Metric
local Metric = {}

--- Counts: of a counter or a gauge.
-- @param by a number (optional, 1)
-- @param labels a table (optional without labels)
function Metric:inc(by, labels) end

--- Counts down: of a gauge.
-- @param by a number (optional, 1)
-- @param labels a table (optional without labels)
function Metric:dec(by, labels) end

--- Sets a gauge, which is one number for the whole process.
-- @param value a number
-- @param labels a table (optional without labels)
function Metric:set(value, labels) end

--- Adds to a histogram.
-- @param value a number
-- @param labels a table (optional without labels)
function Metric:observe(value, labels) end

--- Declares a number that only grows; its name ends in _total.
-- @param options a table: name, help, labels (a list of names), max (of series)
-- @return host.metrics.Metric: the metric
-- @raise a Lua error, if it is declared otherwise elsewhere or after the load phase
function M.counter(options) end

--- Declares a number that goes up and down.
-- @param options a table: name, help, labels (a list of names), max (of series)
-- @return host.metrics.Metric: the metric
-- @raise as counter
function M.gauge(options) end

--- Declares a distribution.
-- @param options a table: name, help, labels (a list of names), max (of series), buckets (a list of
--   upper bounds)
-- @return host.metrics.Metric: the metric
-- @raise as counter
function M.histogram(options) end

return M
