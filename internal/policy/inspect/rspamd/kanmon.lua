-- kanmon.lua: put it into Rspamd's lua.local.d (/etc/rspamd/lua.local.d/kanmon.lua) and reload Rspamd.
--
-- KANMON_ECHO, of no points, says to kanmon's own probe which settings are in force and which envelope Rspamd sees. An unknown Settings-ID,
-- or a field that Rspamd does not understand, shows nowhere else.
--
-- KANMON_TIME_FAIL says that Rspamd's task_timeout is over: not all rules have looked at the message, and its action is not to be believed.

local lua_settings = require "lua_settings"
local rspamd_util = require "rspamd_util"

local function settings_name(task)
  local id = task:get_settings_id()
  if not id then return '' end
  local found = lua_settings.settings_by_id(id)
  return found and found.name or tostring(id)
end

rspamd_config:register_symbol({
  name = 'KANMON_ECHO',
  type = 'normal',
  score = 0.0,
  group = 'kanmon',
  description = 'What Rspamd sees of a probe',
  callback = function(task)
    if not task:get_header('X-Kanmon-Probe') then return false end
    local from = task:get_from('smtp')
    local ip = task:get_from_ip()
    return true, 1.0, {
      'settings=' .. settings_name(task),
      'user=' .. (task:get_user() or ''),
      'ip=' .. (ip and ip:is_valid() and ip:to_string() or ''),
      'helo=' .. (task:get_helo() or ''),
      'from=' .. (from and from[1] and from[1].addr or ''),
      'rcpts=' .. tostring(#(task:get_recipients('smtp') or {})),
    }
  end
})

local options = rspamd_config:get_all_opt('options') or {}
local limit = tonumber(options.task_timeout or 8) or 8

rspamd_config:register_symbol({
  name = 'KANMON_TIME_FAIL',
  type = 'postfilter',
  score = 0.0,
  group = 'kanmon',
  description = 'The time of the task is over, and not all rules have looked at the message',
  callback = function(task)
    if rspamd_util.get_time() - task:get_timeval(true) < limit * 0.95 then return false end
    return true, 1.0
  end
})
