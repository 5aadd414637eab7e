package find

// What is said of a mail in one sentence, and beside it.
var (
	saysDelivered = text{
		"delivered: the receiver's %s took it at %s%s (%s)",
		"配送済み：受信側の %s が %s に受け取りました%s（%s）",
	}
	saysPartly = text{
		"partly delivered: %s; the last attempt was at %s (%s)",
		"一部の宛先に配送済み：%s。最後の試行は %s です（%s）",
	}
	saysRefused = text{
		"refused for good at %s (%s): %s; its MSA returns it to the sender",
		"拒否されました：%s に恒久的に拒否されました（%s）。%s。送信側のメールサーバーが差出人へエラーメールを返します",
	}
	saysWaits = text{
		"waiting: %s, the last at %s: %s; when the next comes its MSA decides; most MSAs give up after 5 days, about %s",
		"待機中：%s、最後は %s：%s。次の再送の時期は送信側のメールサーバーが決めます。多くのサーバーは5日（%s 頃）で再送をやめます",
	}
	saysGivenUp = text{
		"given up, most likely: %s, the last at %s: %s; that is more than 5 days ago, and most MSAs have returned such a mail to its sender by then",
		"再送は打ち切られたとみられます：%s、最後は %s：%s。5日以上経過しており、多くのメールサーバーはそれまでに差出人へエラーメールを返しています",
	}
	saysUnclear = text{
		"unclear: the whole message was sent at %s (%s), and the receiver did not say whether it took it; it may have been delivered; its MSA sends it again, so it may come twice",
		"不明：%s に本文をすべて送りましたが（%s）、受信側が受け取ったかどうかを答えませんでした。届いている可能性があり、再送により二重に届くことがあります",
	}
	saysEnded = text{
		"not sent: it ended at %s (%s) before anybody had refused it; its MSA has it, and may send it again",
		"未送信：%s に、誰にも拒否されないまま終了しました（%s）。メールは送信側のサーバーにあり、再送される可能性があります",
	}

	saysAsID      = text{", as %s", "（受付ID %s）"}
	saysAttempts  = text{"%d attempts", "試行%d回"}
	saysAttempt   = text{"1 attempt", "試行1回"}
	saysNth       = text{"attempt %d, %s after the first", "%d回目の試行、最初の試行から%s後"}
	saysFirst     = text{"on the first attempt", "1回目の試行"}
	saysDelayed   = text{", %s after its MSA had it", "、送信側サーバーの受付から%s後"}
	saysHave      = text{"%d have it", "%d件は配送済み"}
	saysNot       = text{"%d refused for good", "%d件は拒否"}
	saysStill     = text{"%d waited for", "%d件は待機中"}
	saysMaybe     = text{"%d nobody knows", "%d件は不明"}
	saysListComma = text{", ", "、"}

	notesAsked = text{
		"%s: %s.",
		"%s：%s。",
	}
	notesTwice = text{
		"Delivered twice to %s: at %s%s, and at %s%s. %s",
		"%s に二重に配送されました：%s%sと、%s%sです。%s",
	}
	notesPerhapsTwice = text{
		"Perhaps delivered twice to %s: at %s the whole message was sent and the receiver did not answer, and at %s it took it%s.",
		"%s に二重に届いた可能性があります：%s に本文をすべて送ったものの応答がなく、%s に受け取られました%s。",
	}
	notesOrphan = text{
		"The first time its MSA had gone before it could be told, so it sent the mail again.",
		"1回目は、結果を伝える前に送信側のメールサーバーが接続を切っていたため、再送されました。",
	}
	notesAgain = text{
		"Its MSA was told of the first, and sent it again all the same: look at its log.",
		"1回目の成功は送信側のメールサーバーに伝えましたが、それでも再送されました。送信側のログを確認してください。",
	}
	notesProbably = text{
		"Probably: no id says that these attempts are of one mail; sender, recipients, tenant and size do.",
		"推定：これらの試行が同じメールであることを示すIDはありません。差出人、宛先、テナント、サイズが一致しています。",
	}
	notesGuessed = text{
		"Probably the one that is meant: found by recipient, time and reply; no id names it.",
		"推定：宛先、時刻、応答の内容から見つけました。このメールであることを示すIDはありません。",
	}
	notesUnlike = text{
		"Perhaps another mail: it has the recipient and the time, but no reply on record is such as the one that the bounce quotes. That one may have come from another server than those behind kanmon.",
		"別のメールの可能性があります：宛先と時刻は合っていますが、エラーメールにある応答と一致する記録がありません。kanmon を通らない別のサーバーの応答かもしれません。",
	}
	notesEarlier = text{
		"%d earlier attempts are not shown.",
		"それ以前の%d回の試行は表示していません。",
	}
	notesMore = text{
		"%d more recipients are not on record by name.",
		"このほかに、アドレスが記録されていない宛先が%d件あります。",
	}
	notesGone = text{
		"Details of this attempt are no more kept.",
		"この試行の詳細は、保存期間を過ぎたため残っていません。",
	}
)

// What kanmon did, by the action that the records name. The values: from, to, rule, cause, time.
var deedTexts = map[string]text{
	"rescued":       {"went on through %[2]s after %[5]s, unseen by the MSA, when %[1]s was refused", "%[1]s が拒否されたため、%[5]s後に %[2]s から送信を続けました（送信側には見えません）"},
	"rescue_failed": {"looked for another sending IP in place of %[1]s; none could take over: %[4]s", "%[1]s に代わる送信元IPアドレスを探しましたが、引き継げるものがありませんでした：%[4]s"},
	"softened":      {"told the MSA 4xx in place of 5xx, so that the mail stays queued: the refusal is about %[1]s", "拒否の原因が %[1]s にあるため、5xxを4xxに置き換えて送信側に伝えました。メールは待機します"},
	"would_rescue":  {"would have gone on through another sending IP than %[1]s; it only observes", "%[1]s 以外の送信元IPアドレスで続けるところですが、観測のみのため何もしていません"},
	"would_soften":  {"would have told the MSA 4xx in place of 5xx: the refusal is about %[1]s; it only observes", "拒否の原因が %[1]s にあるため4xxに置き換えるところですが、観測のみのため何もしていません"},
	"not_rescued":   {"passed the refusal of %[1]s on and tried no other sending IP: %[4]s", "%[1]s への拒否をそのまま伝え、ほかの送信元IPアドレスは試しませんでした：%[4]s"},
	"also_refused":  {"tried %[1]s in its place, which was refused, too", "代わりに %[1]s を試しましたが、これも拒否されました"},

	"delayed":              {"held it back: %[3]s%[4]s", "待たせました：%[3]s%[4]s"},
	"deferred":             {"told the MSA to come back later: %[3]s%[4]s", "送信側に後で再送するよう伝えました：%[3]s%[4]s"},
	"rejected":             {"refused it: %[3]s%[4]s", "拒否しました：%[3]s%[4]s"},
	"diverted":             {"sent it from another pool: %[3]s%[4]s", "別のプールから送信しました：%[3]s%[4]s"},
	"blocked":              {"deferred it and all that follows, until a person lifts it: %[3]s%[4]s", "管理者が解除するまで、以後のメールも含めて保留しました：%[3]s%[4]s"},
	"passed_over":          {"left out a sending IP that had no room: %[3]s%[4]s", "余裕のない送信元IPアドレスを候補から外しました：%[3]s%[4]s"},
	"moved":                {"moved it to another sending IP: %[3]s%[4]s", "別の送信元IPアドレスに移しました：%[3]s%[4]s"},
	"reconnected":          {"made another connection from the same sending IP: %[3]s%[4]s", "同じ送信元IPアドレスから接続し直しました：%[3]s%[4]s"},
	"beyond":               {"sent it beyond the amount of the warm-up: %[3]s%[4]s", "ウォームアップの予定量を超えて送信しました：%[3]s%[4]s"},
	"spoofed":              {"noted that the sender's domain is another tenant's: %[4]s", "送信者ドメインが別のテナントのものであることを記録しました：%[4]s"},
	"conflicting_accounts": {"noted that the header names several accounts, or nobody: %[4]s", "ヘッダーが示すアカウントが複数あるか、誰も示していないことを記録しました：%[4]s"},
	"foreign_account":      {"noted an account field that was written elsewhere: %[4]s", "別の場所で書かれたアカウントのフィールドがあることを記録しました：%[4]s"},
	"would_delay":          {"would have held it back, and only observes: %[3]s%[4]s", "待たせるところですが、観測のみです：%[3]s%[4]s"},
	"would_defer":          {"would have told the MSA to come back later, and only observes: %[3]s%[4]s", "後で再送するよう伝えるところですが、観測のみです：%[3]s%[4]s"},
	"would_reject":         {"would have refused it, and only observes: %[3]s%[4]s", "拒否するところですが、観測のみです：%[3]s%[4]s"},
	"would_divert":         {"would have sent it from another pool, and only observes: %[3]s%[4]s", "別のプールから送信するところですが、観測のみです：%[3]s%[4]s"},
	"would_block":          {"would have blocked the sender, and only observes: %[3]s%[4]s", "送信者を止めるところですが、観測のみです：%[3]s%[4]s"},
	"would_move":           {"would have moved it to another sending IP, and only observes: %[3]s%[4]s", "別の送信元IPアドレスに移すところですが、観測のみです：%[3]s%[4]s"},
	"would_reconnect":      {"would have made another connection, and only observes: %[3]s%[4]s", "接続し直すところですが、観測のみです：%[3]s%[4]s"},

	WaitedLong:  {"waited for the MX at %[3]s for %[5]s and longer", "MXの応答（%[3]s）を%[5]s以上待ちました"},
	WentAround:  {"sent it from %[2]s in place of %[1]s, which the provider is slow to answer", "プロバイダーの応答が遅い %[1]s に代えて、%[2]s から送信しました"},
	PlainText:   {"sent it in plain text, since TLS with this MX failed: %[4]s", "このMXとのTLSに失敗したため、平文で送信しました：%[4]s"},
	AnsweredFor: {"gave this reply itself, by %[3]s%[4]s", "この応答は %[3]s%[4]s によりkanmon自身が返しました"},
}
