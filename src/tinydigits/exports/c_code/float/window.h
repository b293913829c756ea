/* A window that slides over an image, channels last. */
typedef struct {
    int16_t h, w, in_channels, group_channels, out_h, out_w, out_channels;
    int16_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
} td_window;
