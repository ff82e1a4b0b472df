//! The published result codes and what they mean.
//!
//! From dji-sdk/Cloud-API-Doc `docs/{en,cn}/71.error-code.md` and the error page of developer.dji.com
//! v1.16; 324001 only from the demo backend's `LogErrorCodeEnum`.

/// A result code and what it means, as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Code {
    /// `data.result`
    pub code: i64,
    /// In English.
    pub en: &'static str,
    /// In Chinese; where a text is longer, its beginning. None where no Chinese text is known.
    pub zh: Option<&'static str>,
}

/// In ascending order.
const MEANINGS: &[Code] = &[
    Code { code: 0, en: "Success", zh: None },
    Code {
        code: 314_000,
        en: "Operation not supported. Check device status",
        zh: Some("设备当前无法支持该操作，建议检查设备当前工作状态"),
    },
    Code {
        code: 319_001,
        en: "Unable to perform task. Dock is performing task or uploading issue logs",
        zh: Some("机场作业中或设备异常反馈上传日志中"),
    },
    Code {
        code: 319_018,
        en: "Unable to perform task. Dock is uploading issue logs",
        zh: Some("机场正在自动导出日志中"),
    },
    Code {
        code: 319_019, en: "Unable to perform task. Dock is obtaining issue logs", zh: Some("机场正在拉取日志中")
    },
    Code { code: 324_001, en: "Device restart interrupts log export", zh: None },
    Code {
        code: 324_012,
        en: "Compressing logs timed out. Too many logs selected",
        zh: Some("日志压缩过程超时，所选日志过多"),
    },
    Code { code: 324_013, en: "Failed to obtain device log list", zh: Some("设备日志列表获取失败") },
    Code { code: 324_014, en: "Device log list is empty", zh: Some("设备日志列表为空") },
    Code {
        code: 324_015,
        en: "Aircraft is powered off or not connected. Unable to obtain log list",
        zh: Some("飞行器已关机或未连接，无法获取日志列表"),
    },
    Code {
        code: 324_016,
        en: "Insufficient dock storage space. Failed to compress logs",
        zh: Some("机场存储空间不足，日志压缩失败"),
    },
    Code {
        code: 324_017,
        en: "Failed to compress logs. Unable to obtain the selected aircraft logs",
        zh: Some("日志压缩失败，无法获取所选飞行器日志"),
    },
    Code { code: 324_018, en: "Failed to obtain logs and submit issue report", zh: Some("日志文件拉取失败") },
    Code {
        code: 324_019,
        en: "Network anomaly at the dock. Log upload failed",
        zh: Some("因机场网络异常，日志上传失败"),
    },
    Code {
        code: 324_021,
        en: "Log export failed. Dock powered off or restarted",
        zh: Some("因机场断电或重启导致日志导出中断"),
    },
    Code {
        code: 324_030,
        en: "Unable to upload media file. Network or link anomaly",
        zh: Some("媒体文件暂时无法上传"),
    },
    Code { code: 325_001, en: "Cloud command parameter error", zh: Some("云端下发命令不符合格式要求") },
    Code { code: 325_003, en: "Command failed. Try again", zh: Some("指令响应失败") },
    Code { code: 325_004, en: "Device command request timed out", zh: Some("设备端命令请求已超时") },
    Code { code: 325_005, en: "Dock cannot respond to the current task", zh: Some("当前机场无法响应任务") },
    Code { code: 325_006, en: "Dock is in task preparation", zh: Some("启动检查中") },
    Code { code: 325_007, en: "Dock is performing task", zh: Some("执行作业任务中") },
    Code { code: 325_008, en: "Dock is processing task output", zh: Some("处理作业任务结果中") },
    Code {
        code: 325_009,
        en: "Dock is exporting logs to cloud. Try again later",
        zh: Some("当前机场执行远程日志导出中，请稍后重试"),
    },
    Code { code: 325_010, en: "Dock is updating custom flight area", zh: Some("更新自定义飞行区中") },
    Code { code: 325_011, en: "Dock is updating offline map", zh: Some("更新离线地图中") },
    Code { code: 325_012, en: "Aircraft is not connected", zh: Some("当前飞机未连接") },
];

/// The published English meaning of a result code, if it has one.
#[must_use]
pub fn meaning(code: i64) -> Option<&'static str> {
    let at = MEANINGS.binary_search_by_key(&code, |known| known.code).ok()?;
    Some(MEANINGS[at].en)
}

/// Every code with a published meaning, ascending: the closed set for a metric's label.
pub fn published() -> impl Iterator<Item = i64> {
    MEANINGS.iter().map(|known| known.code)
}

/// Every code that is published, ascending, with its meaning.
#[must_use]
pub fn all() -> &'static [Code] {
    MEANINGS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_code_is_found() {
        for known in MEANINGS {
            assert_eq!(meaning(known.code), Some(known.en));
        }
        assert!(published().is_sorted());
    }

    #[test]
    fn a_code_that_nobody_published_has_no_meaning() {
        assert_eq!(meaning(324_031), None);
        assert_eq!(meaning(-1), None);
        assert_eq!(meaning(325_009), Some("Dock is exporting logs to cloud. Try again later"));
    }
}
