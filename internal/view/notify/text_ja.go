package notify

import "kanmon/internal/config"

var japanese = map[config.NotifyEvent]phrase{
	"ip.suspended": {
		`{{.IP}} から {{.Provider}} 宛ての送信を{{if .Until}}一時停止{{else}}停止{{end}}しました`,
		`{{if .Until}}{{.Until}} まで{{else}}手動で再開するまで{{end}}、この IP からは送信しません。{{if .Until}}その後、1 通だけ送って確かめます。{{end}}同じプールのほかの送信 IP が代わりに送ります。`,
		`どのテナントのメールが原因かを調べ(kanmon refusals --ip {{.IP}})、docs/howto/ip-refused.md に従って対処してください。`,
	},
	"ip.recovered": {
		`{{.IP}} から {{.Provider}} 宛ての送信を再開しました`, `受信側がこの IP からのメールを受け取りました{{if .Was}}(これまで: {{.Was}}){{end}}。送信量を段階的に戻します。`, ``,
	},
	"ip.listed": {
		`{{.IP}} が {{.List}} に載っています`,
		`kanmon がリストに直接問い合わせて確認しました。{{if .Until}}{{.Until}} まで、この IP からは送信しません。{{else}}扱いは standing の判断に従います。{{end}}`,
		`まず原因を止めてください。原因のテナントは kanmon refusals --ip {{.IP}} で分かります。その後、リストの解除フォームから申請してください。解除は kanmon が自動で検知します。`,
	},
	"ip.delisted": {`{{.IP}} は {{.List}} から解除されました`, ``, ``},
	"ip.probe_failing": {
		`{{.Provider}} が {{.IP}} からの確認用メールを 24 時間に {{.N_times_in_24h}} 回拒否しました`, `拒否されるたびに次の確認までの時間を延ばします(最長 1 日)。`,
		`待っていても解除されません。受信側のフォームで解除を申請し、kanmon ip resume {{.IP}} --provider 名前 で再開してください。`,
	},
	"ip.probe_passed": {`{{.Provider}} が {{.IP}} からの確認用メールを受け取りました`, `段階的に送信を再開します。`, ``},
	"ip.names_wrong": {
		`{{.IP}} の逆引きと名前が一致していません({{.State}})`, `何もしていません。受信側は逆引きと正引きの一致を確認し、一致しない IP からのメールを拒否することがあります。`,
		`現在の PTR: {{.Names}}。kanmon が EHLO で名乗る名前と同じにし、その名前の正引きが IP を指すようにしてください(docs/howto/sending-ips.md)。`,
	},
	"ip.names_right":    {`{{.IP}} の逆引きと名前が一致しました`, ``, ``},
	"list.not_believed": {`{{.List}} の回答が信頼できません`, `このリストの回答は判断に使わず、後で再び問い合わせます。`, `公開リゾルバー経由の問い合わせは、多くのリストが拒否します。[watch] の resolver を確認してください。`},
	"list.believed":     {`{{.List}} の回答が再び信頼できるようになりました`, ``, ``},
	"pool.exhausted": {
		`プール {{.Pool}} には {{.Provider}} 宛てに使える送信 IP がありません`, `このプールのメールは 451 で保留しています。メールは MSA のキューに残り、失われません。`,
		`kanmon ip list で各 IP が使えない理由を確かめ、どれかを再開するか、プールに IP を追加してください。`,
	},
	"pool.usable": {`プール {{.Pool}} で {{.Provider}} 宛てに使える送信 IP が戻りました`, `MSA の再送に合わせて送信されます。`, ``},
	"provider.slow": {
		`{{.Provider}} の {{.IP}} に対する応答が遅くなっています({{.Phase}})`,
		`応答時間に基づく処置: {{.Acted}}(told: 通知のみ、split: 新しいセッションの半分をほかの IP へ、slowed: 半分に減らす、moved: 20 分の 1 だけ残す)。`,
		`ほかの IP では正常かを確かめ(kanmon provider show 名前)、docs/howto/slow-provider.md に従って対処してください。`,
	},
	"provider.deferring": {
		`{{.Provider}} がメールの {{.N_deferred_ratio}} を一時拒否しています`, `一時拒否はそのまま MSA に返しています。メールは MSA のキューで待っています。`,
		`応答の内容から、IP の問題か、送信者の問題か、受信側の障害かを見分けてください。docs/howto/slow-provider.md を参照。`,
	},
	"provider.normal": {`{{.Provider}} は{{if .IP}} {{.IP}} に対して{{end}}正常に戻りました`, ``, ``},
	"account.contained": {
		`{{.Tenant}} のアカウント {{.Account}} の送信を抑制しました({{.State}})`,
		`受信側の応答に基づく自動処置です。slow: 1 時間あたりの通数を制限、divert: さらに高リスク用プールから送信、stop: 送信を保留。`,
		`不正利用かどうかを確かめてください(kanmon account explain)。不正利用ならパスワードを変更し、kanmon account block。正当なら kanmon account exempt。`,
	},
	"account.would_be_contained": {
		`{{.Tenant}} のアカウント {{.Account}} は抑制の条件に達しました({{.State}})`, `何もしていません。抑制は観測のみの設定です。`,
		`enforce = true にする前に、判断が正しいかを確かめてください(kanmon account explain)。`,
	},
	"account.released": {`{{.Tenant}} のアカウント {{.Account}} の抑制を解除しました`, ``, ``},
	"tenant.contained": {
		`テナント {{.Tenant}} の送信を抑制しました({{.State}})`, `受信側の応答に基づく自動処置です。テナント全体のメールが対象です。`,
		`多数のアカウントの乗っ取りか、誰でも送れる MSA の疑いがあります。kanmon tenant explain で確かめ、docs/howto/bad-sender.md に従ってください。`,
	},
	"tenant.would_be_contained": {
		`テナント {{.Tenant}} は抑制の条件に達しました({{.State}})`, `何もしていません。抑制は観測のみの設定です。`,
		`enforce = true にする前に、判断が正しいかを確かめてください(kanmon tenant explain)。`,
	},
	"tenant.released": {`テナント {{.Tenant}} の抑制を解除しました`, ``, ``},
	"limit.blocked": {
		`送信制限により{{if .Account}} {{.Tenant}} のアカウント {{.Account}} {{else}}テナント {{.Tenant}} {{end}}をブロックしました`, `手動で解除するまで、メールを保留します。`,
		`正当なメールなら kanmon account unblock で解除し、制限値を上げてください。`,
	},
	"limit.released": {`{{if .Account}}{{.Tenant}} のアカウント {{.Account}} {{else}}テナント {{.Tenant}} {{end}}のブロックを解除しました`, ``, ``},
	"limit.near": {
		`テナント {{.Tenant}} が制限 {{.Rule}}{{if .Provider}}({{.Provider}}){{end}} の {{.N_used_ratio}} を使用しています`,
		`まだ何もしていません。制限を超えると、設定された処置を行います。`,
		`kanmon tenant show で各制限の使用量を確認してください。正当なメールなら kanmon tenant limit で制限値を変更できます。`,
	},
	"limit.far": {`テナント {{.Tenant}} の制限 {{.Rule}} に余裕が戻りました`, ``, ``},
	"refusal.new_kind": {
		`この 1 か月なかった種類の拒否が {{.N_tenants}} テナントで発生しています{{if .Class}}({{.Class}}){{end}}`, `kanmon の解釈: {{if .Meaning}}{{.Meaning}}{{else}}不明{{end}}。`,
		`内容を確認してください。分類が誤っていれば、規則を追加してください(docs/ref/classification.md)。`,
	},
	"spoofing.first": {
		`{{.Tenant}} のアカウントが、ほかのテナントの送信者アドレスで送信しました`, `記録しました。拒否するかどうかは [senders] の spoofing によります。`,
		`転送によるものか、なりすましかを確かめてください。`,
	},
	"mail.ambiguous": {
		`{{.Provider}} 宛てのメールの配送結果が不明です`, `本文の送信後に MX の応答が途絶えました。MSA が再送するため、二重に届く可能性があります。`,
		`1 通だけなら対処は不要です。多発している場合は docs/howto/slow-provider.md を参照してください。`,
	},
	"order.done": {
		`{{.By}}: {{.Action}}{{if .IP}} {{.IP}}({{.Provider}}){{end}}{{if .Account}} {{.Account}}{{end}}{{if .Tenant}} {{.Tenant}}{{end}}`,
		`{{.Was}} → {{.State}}{{if .Unkept}}。保存できていないため、再起動で失われる可能性があります{{end}}`, ``,
	},
	"warmup.stage": {`{{.IP}} のウォームアップ: {{if .Condition}}{{.Condition}}{{else}}{{.State}}{{end}}`, ``, ``},
	"gateway.started": {
		`{{.Gateway}} が起動しました{{if .Unclean}}(前回は強制終了){{end}}`, `{{if .Unclean}}直前の記録が、配送済みのメールの分も含めて欠けている可能性があります。{{end}}`, ``,
	},
	"gateway.reloaded":       {`{{.Gateway}} が新しい設定を読み込みました`, ``, ``},
	"gateway.reload_refused": {`{{.Gateway}} は新しい設定を受け付けませんでした`, `以前の設定のまま動いています。`, `kanmon check で誤りを確認してください。`},
	"gateway.draining":       {`{{.Gateway}} が停止処理に入りました`, `新しいセッションは受け付けません。メールは MSA で待ちます。`, ``},
	"gateway.rules_lost": {
		`{{.Gateway}} のファイアウォール規則が正しくありません`, `規則が欠けていると、メールは記録されずに別のアドレスから直接送信されます。`, `kanmon rules status で理由を確認してください。`,
	},
	"gateway.rules_in_force": {`{{.Gateway}} のファイアウォール規則は有効です`, ``, ``},
	"gateway.silent": {
		`{{.Gateway}} からの記録が途絶えています`, `{{.N_silent_seconds}} の間、1 分ごとの heartbeat を含め、記録が 1 行も届いていません。`,
		`ゲートウェイで systemctl status kanmon を確認してください。動いている場合は、記録が履歴に届いていません(kanmon history status)。`,
	},
	"gateway.heard": {`{{.Gateway}} からの記録が再び届いています`, ``, ``},
	"gateway.records_dropped": {
		`{{.Gateway}} の記録が {{.N_records}} 件欠けました`, `メールへの影響はありません。ディスクまたはパイプが間に合いませんでした。`, `kanmon status でどのテナントの記録かを確認できます。`,
	},
	"gateway.disk_low": {
		`{{.Condition}} のディスクの空きが {{.N_free_ratio}} しかありません`,
		`メールは止まりません。ディスクが満杯になると、記録が欠け、履歴が止まり、送信 IP や送信者についての判断が保存されません。`,
		`df -h で確認し、空きを作ってください。[history] の size を小さくするか、記録の保存日数(logrotate)を減らしてください。`,
	},
	"gateway.disk_room": {`{{.Condition}} のディスクの空きが回復しました`, ``, ``},
	"certificate.ending": {
		`{{.Condition}} の証明書は {{.Until}} に期限切れになります`,
		`何もしていません。期限を過ぎると、証明書を検証する MSA は配送できず、ブラウザは警告します。`,
		`更新してください。MSA 用は kanmon reload で、ページ用は自動で読み直します。`,
	},
	"resolver.failing": {
		`{{.Gateway}} のリゾルバーに問題があります: {{.Condition}}`,
		`取得済みの回答は 24 時間使い続けます。ポリシーを強制している場合、DANE の有無が分からないドメイン宛てのメールは待ちます。`,
		`[tls_policy] のリゾルバーを確認してください。状態は kanmon status と kanmon tls ドメイン で分かります。`,
	},
	"resolver.well":       {`{{.Gateway}} のリゾルバーは正常に戻りました`, ``, ``},
	"certificate.renewed": {`{{.Condition}} の証明書は {{.Until}} まで有効です`, ``, ``},
	digestEvent:           {`{{.Day}} までの状況`, ``, ``},
	testEvent:             {`テスト通知です`, `kanmon notify test が実行されました。`, `対処は不要です。これが読めれば、通知は届いています。`},
}

var japaneseNone = map[string]string{"Provider": "すべてのプロバイダ", "Gateway": "ゲートウェイ", "By": "不明", "Pool": "(なし)", "State": "-", "Acted": "told", "List": "公開ブロックリスト", "Names": "名前なし"}

var japaneseLabels = map[string]string{
	"critical": "[重大] ", "at": "時刻: ", "since": "開始: ", "until": "終了予定: ", "gateway": "ゲートウェイ: ", "condition": "検知内容: ", "by": "実行者: ",
	"threshold": "、しきい値 ", "msa": "メールサーバー: ", "sender": "送信者: ", "message_id": "Message-ID: ", "session": "セッション: ",
	"more": "通知していない同種の件数: ", "replies": "受信側の応答:", "did": "kanmon の処置:", "todo": "対処:",
	"N_deferred_ratio": "一時拒否の割合: ", "N_deferred_ratio_a_week_ago": "1 週間前の割合: ", "N_mails": "メール数: ", "N_tenants": "テナント数: ",
	"N_replies": "応答数: ", "N_records": "記録数: ", "N_times_in_24h": "24 時間の回数: ", "N_silent_seconds": "途絶時間: ",
	"d_quiet": "%s: 特記事項はありません。%s", "d_head": "%s: %s", "d_none": "メールはありませんでした。",
	"d_mails": "送信試行 %d 件: 配送 %s、一時拒否 %s、拒否 %s。", "d_rescued": "うち %d 件は別の送信 IP で救済しました。", "d_more": "ほか %d 件", "d_since": "(%s から)",
	"d_now": "現在の異常:", "d_senders": "送信者:", "d_ips": "送信 IP:", "d_providers": "プロバイダ:", "d_orders": "操作:", "d_gateways": "ゲートウェイ:",
	"d_refusals": "拒否の内訳(括弧内は前週の 1 日平均、! は 2 倍以上または半分以下):", "d_tenants": "送信量が普段の 2 倍を超えたテナント:",
	"d_waiting": "4 時間を超えて待っているメール(プロバイダ別):", "d_gaps": "記録が %d 件欠けています。", "d_shortened": "容量の上限に達したため、履歴を短縮しました。",
	"d_trend": "%s: %d(%.0f)", "d_acknowledged": " [%s が確認済み、%s まで: %s]",
	"N_used_ratio": "使用率: ", "N_free_ratio": "空き: ", "N_days_left": "残り日数: ",
	"N_here_ms": "この IP: ", "N_others_ms": "ほかの送信 IP: ", "N_before_ms": "以前: ",
}
